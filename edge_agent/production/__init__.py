"""What the line makes of its shifts: counts, yield, OEE, and charts that say when it drifts."""
