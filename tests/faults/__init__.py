"""Tests of the machinery under faults."""
