"""Model sync: from a signed repository to verified bundles on a gateway."""
