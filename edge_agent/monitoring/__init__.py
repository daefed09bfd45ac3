"""Whether what comes in can be trusted: cameras, sensors, and drift away from what is known."""
