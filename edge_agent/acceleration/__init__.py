"""Models on accelerators: in a process of their own, proved before they inspect, watched after."""
