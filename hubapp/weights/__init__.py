"""Data-free reports of weights: spectra, similarity of layers, differences."""
