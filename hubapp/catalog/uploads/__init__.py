"""Data sets that people bring: files come in, a job checks them, a person accepts or discards them."""
