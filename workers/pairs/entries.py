"""What this room adds to the registry of analyses. Free of torch."""
