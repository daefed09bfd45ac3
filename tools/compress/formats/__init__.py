"""Readers of trained models, one file a format."""
