"""What the site knows of the weight reports without loading them."""
