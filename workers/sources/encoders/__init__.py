"""Model loaders: one file each, all giving a `workers.sources.protocols.Encoder`. The only place that imports torch."""
