"""Job and schedule rows, the state machine, queue pages."""
