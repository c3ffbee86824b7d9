"""Training: one Lightning module, the data, and the order in which they are seen."""
