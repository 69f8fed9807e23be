"""Bring your data: choose models that may suit it, see what scoring them costs, run, and read what it says."""
