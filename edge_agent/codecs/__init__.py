"""How a message is written on the wire: one file a format."""
