"""Evidence on its way to whoever labels it: cut down in the worker, sent by the agent."""
