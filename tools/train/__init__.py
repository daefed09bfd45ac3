"""Recipes: from a plain folder or CSV to a verified bundle, one command each."""
