"""From a verdict to the broker's acknowledgement: outbox, disk and publisher."""
