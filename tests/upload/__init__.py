"""Evidence on its way to whoever labels it."""
