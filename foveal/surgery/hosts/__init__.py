"""Models to insert attention into, by a short name."""

from foveal.surgery.hosts.load import host_input as host_input
from foveal.surgery.hosts.load import load_host as load_host
