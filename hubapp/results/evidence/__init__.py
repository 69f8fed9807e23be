"""Measured transfer results of models on data sets: published ones, imported ones and our own; what metrics are worth."""
