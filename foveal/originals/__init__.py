"""Checkpoints trained with the original authors' code, loaded into ours."""
