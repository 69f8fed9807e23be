"""What Hubscope computes: a plain Python library, usable without the site."""
