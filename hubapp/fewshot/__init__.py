"""Few-shot evaluations in pages: curves, comparisons, classes, calibration, advice, suites, manifests."""
