"""Tests of the numeric room `workers.filterdb`."""
