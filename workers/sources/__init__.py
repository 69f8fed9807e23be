"""Sources: weight files to tensors, models to features, data sets to rows. Import the module you need."""
