"""Data set sources: one file each, all giving a `workers.sources.protocols.Dataset`. No torch."""
