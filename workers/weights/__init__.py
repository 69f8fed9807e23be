"""Reports of weight matrices that need no data: spectra, low rank, similarity of layers, experts, differences."""
