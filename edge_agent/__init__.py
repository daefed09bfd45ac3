"""Edge Agent: inspects camera and sensor streams on a factory gateway and publishes verdicts."""

__version__ = "0.1.0"
