"""What a mechanism is: layouts, the registry, and the adapters between layouts."""
