"""Recordings of sensors: CSV files read, checked, parted and cut into windows as the agent does."""
