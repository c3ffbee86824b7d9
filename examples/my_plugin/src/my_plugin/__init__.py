"""A mechanism of one's own, as a package that Foveal finds where it is installed."""
