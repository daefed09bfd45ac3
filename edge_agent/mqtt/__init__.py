"""Connections to an MQTT broker: for publishing verdicts, and for sources that subscribe."""
