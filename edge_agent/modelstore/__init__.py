"""Model bundles on disk: what they contain and whether they may run."""
