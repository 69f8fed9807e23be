"""Models and data sets as catalogued things."""
