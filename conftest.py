"""Names that the examples in docstrings may use without importing them."""

import pytest
import torch
from torch import nn

import foveal

pytest_plugins = ["pytester"]  # the kit's tests run tests


@pytest.fixture(autouse=True)
def _names_in_examples(doctest_namespace: dict) -> None:
    doctest_namespace.update(vars(foveal), torch=torch, nn=nn)
