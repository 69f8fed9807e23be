"""Heads: classifiers on frozen features, one file each."""
