"""Insertion: where a mechanism can go, putting it there silently, and taking it out."""
