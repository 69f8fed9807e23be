"""Protocols beyond the few-shot curve: retrieval, class-incremental, base-to-new, layers, forecasting."""
