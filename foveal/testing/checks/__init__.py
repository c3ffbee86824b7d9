"""The laws, gathered; the order of the imports is the order in which they are checked."""

# isort: off
from foveal.testing.checks import (
    card as card,
    shape as shape,
    inputs as inputs,
    isolation as isolation,
    learning as learning,
    numerics as numerics,
    copies as copies,
    explanation as explanation,
    backends as backends,
    insertion as insertion,
    deployment as deployment,
)
