"""One benchmark per module; the module is its registration."""
