"""One weight per pair between two inputs."""

__all__ = []
