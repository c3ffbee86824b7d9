"""The fair test: paired comparisons with controls, and a verdict that knows its limits."""
