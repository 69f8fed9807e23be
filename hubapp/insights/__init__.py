"""The front page and the insights of the whole hub."""
