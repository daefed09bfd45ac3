"""Imported by the fork server at its start, for its effect alone."""

from edge_agent.processes.worker import preload

preload()
