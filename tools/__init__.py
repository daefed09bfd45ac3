"""Programs for people who work on Edge Agent; the agent itself needs none of them."""
