"""What the agent says of itself and its pipelines: topics, messages, retained state."""
