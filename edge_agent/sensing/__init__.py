"""Sensor samples: from payloads and recordings to windows and their features."""
