"""Pairs and sets of models: likeness, different mistakes, alignment, compatibility, robustness, source tasks."""
