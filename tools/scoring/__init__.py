"""How good a model is on data it never saw: scores, curves, pages."""
