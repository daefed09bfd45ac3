"""Pictures, boxes and regions: pure functions on arrays."""
