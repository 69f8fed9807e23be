"""One module per weight format: each lists what a file stores and reads one tensor at a time, without torch."""
