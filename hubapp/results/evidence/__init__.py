"""Measured transfer results, published, imported and our own, and what metrics are worth against them."""
