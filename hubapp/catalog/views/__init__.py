"""Pages of the catalogue: models, data sets, sources."""
