"""Stored outcomes, rankings, comparison."""
