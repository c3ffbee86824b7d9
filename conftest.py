"""What makes the suite quick, and names that examples in docstrings may use."""

import gc
import os

# The suite itself runs several processes. With as many threads in each as there are cores, threads
# spend most of their time waiting for one another. Whoever sets the number means it.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start as well

import pytest
import torch
from torch import nn

import foveal

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # where torch had been imported before

# Exporters make millions of small objects, most of which live as long as the export; looking
# through them again and again for garbage took an eighth of their time.
gc.set_threshold(50_000, 10, 10)

pytest_plugins = ["pytester"]  # the kit's tests run tests


@pytest.fixture(autouse=True)
def _names_in_examples(doctest_namespace: dict) -> None:
    doctest_namespace.update(vars(foveal), torch=torch, nn=nn)
