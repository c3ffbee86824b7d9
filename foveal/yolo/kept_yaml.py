"""The YAML of a network with insertions, which nothing builds a network from by mistake."""

from copy import deepcopy
from typing import Any

from foveal.core.errors import FovealError

SETTINGS = "foveal"
"""The entry of a YAML that holds the plan of the insertions and how they are trained."""


class KeptYaml(dict):
    """A network's `yaml` once mechanisms were inserted: the same entries, and a guard.

    A trainer that knows nothing of the insertions builds a fresh network from a copy of this, and
    would lose them without a word. That copy, of the YAML alone, is refused; copies of the whole
    network, such as the moving average's, are not.

    >>> yaml = KeptYaml(nc=80)
    >>> deepcopy([yaml])[0]["nc"], dict(yaml)
    (80, {'nc': 80})
    >>> deepcopy(yaml)
    Traceback (most recent call last):
    ...
    foveal.core.errors.FovealError: the model holds mechanisms that Foveal inserted, ...
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> "KeptYaml":
        if not memo:
            raise FovealError(
                "the model holds mechanisms that Foveal inserted, and a network built anew from "
                "its YAML would lose them. Train it by `foveal yolo train`, or in Python by "
                "foveal.yolo.keep(YOLO('best.pt')).train(...). For the plain YAML: "
                "dict(model.yaml)"
            )
        memo[id(self)] = copy = type(self)()
        copy.update({key: deepcopy(value, memo) for key, value in self.items()})
        return copy


def plain_yaml(yaml: dict[str, Any]) -> dict[str, Any]:
    """The entries that ultralytics knows, in a dictionary that may be built from.

    >>> plain_yaml(KeptYaml(nc=80, foveal={}))
    {'nc': 80}
    """
    return {key: value for key, value in yaml.items() if key != SETTINGS}
