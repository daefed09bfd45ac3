"""Writes bundles: manifest, card, golden samples."""
