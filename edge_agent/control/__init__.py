"""The agent's configuration and commands over MQTT."""
