"""From a prediction to an outcome: one file a rule."""
