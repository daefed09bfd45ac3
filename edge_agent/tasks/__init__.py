"""What a model is for: from an item to tensors, and from tensors to a prediction."""
