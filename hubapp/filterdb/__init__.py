"""The filter DB: every model's filters, and what groups of them have in common."""
