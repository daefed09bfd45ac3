"""From a trained model to the smallest variant of it that is still good enough."""
