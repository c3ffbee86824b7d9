"""What a model costs: parameters, operations, bytes, memory, time, each with how it was taken."""

from foveal.measure.environment import environment
from foveal.measure.operations import Operations, count_multiply_adds, count_operations
from foveal.measure.parameters import parameter_count

__all__ = [
    "Operations",
    "count_multiply_adds",
    "count_operations",
    "environment",
    "parameter_count",
]
