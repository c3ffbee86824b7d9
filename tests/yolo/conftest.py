"""ultralytics for the tests: off line, with settings of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def _ultralytics_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    set_here = {
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_VERBOSE": "false",
        "YOLO_CONFIG_DIR": str(Path(tmp_path_factory.mktemp("yolo-config"))),
    }
    missing = {k: v for k, v in set_here.items() if k not in os.environ}
    os.environ.update(missing)
    yield
    for key in missing:
        del os.environ[key]
