"""Templates' tags, forms, tables and the page that shows every component."""
