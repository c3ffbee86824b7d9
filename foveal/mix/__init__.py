"""Mixed attention: mechanisms arranged, joined and weighted, written in a small notation."""
