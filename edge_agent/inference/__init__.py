"""A model and what surrounds it: from an item to tensors, from tensors to meaning."""
