"""One training loop, on Lightning, and the data it runs on."""
