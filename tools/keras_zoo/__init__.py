"""Five small Keras models of the kinds that are met in factories, made from public data."""
