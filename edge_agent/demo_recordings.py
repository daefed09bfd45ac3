"""The demo on real recordings: photos of ball screws, and turbofan engines that run to failure."""
