"""A simulated cell to try the agent on: a camera over a conveyor, and a motor."""
