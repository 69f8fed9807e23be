"""How workers run."""
