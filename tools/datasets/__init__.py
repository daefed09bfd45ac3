"""Reads the recordings that the shipped models learn from."""
