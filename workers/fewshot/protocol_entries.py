"""The protocols beyond the few-shot curve: what this room adds to the registry of analyses. Free of torch."""
