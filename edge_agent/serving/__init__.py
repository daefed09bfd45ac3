"""How the agent answers for itself: checks, health and metrics over HTTP, logs with fields."""
