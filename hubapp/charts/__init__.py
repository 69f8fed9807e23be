"""Charts: pure functions, rows in, figure out; no database."""
