"""Models from a real MLflow registry."""
