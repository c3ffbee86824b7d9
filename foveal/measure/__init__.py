"""What a model costs: parameters, operations, bytes, memory, time, each with how it was taken."""

from foveal.measure.environment import environment
from foveal.measure.flops import FlopCount, count_flops
from foveal.measure.latency import Latency, measure_latency
from foveal.measure.measurement import Measurement, measure
from foveal.measure.operations import Operations, count_multiply_adds, count_operations
from foveal.measure.parameters import parameter_count
from foveal.measure.traffic import Traffic, count_traffic

__all__ = [
    "FlopCount",
    "Latency",
    "Measurement",
    "Operations",
    "Traffic",
    "count_flops",
    "count_multiply_adds",
    "count_operations",
    "count_traffic",
    "environment",
    "measure",
    "measure_latency",
    "parameter_count",
]
