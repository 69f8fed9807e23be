"""Pairs and sets of models, from stored features and predictions: likeness, complementarity, compatibility."""
