"""What a model costs: parameters, operations, bytes, memory, time, each with how it was taken."""
