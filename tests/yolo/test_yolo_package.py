"""What importing ultralytics must leave alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import foveal

pytest.importorskip("ultralytics")

ROOT = str(Path(foveal.__file__).parents[1])


def run(code: str, home: Path) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("YOLO_")}
    environment = kept | {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "PYTHONPATH": ROOT}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_users_settings_stay_and_no_network_is_asked(tmp_path: Path):
    settings = tmp_path / "Ultralytics" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{"settings_version": "0.0.1", "runs_dir": "mine"}')  # would be migrated
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('asked for the network')\n"
        "socket.getaddrinfo = socket.create_connection = refuse\n"
        "from foveal.yolo.package import ultralytics\n"
        "u = ultralytics()\n"
        "u.settings.update({'sync': False})\n"
        "print(u.__version__)"
    )
    assert run(code, tmp_path).split()[-1][0].isdigit()
    assert settings.read_text() == '{"settings_version": "0.0.1", "runs_dir": "mine"}'
    assert [path.name for path in tmp_path.rglob("*")] == ["Ultralytics", "settings.json"]


def test_foveal_yolo_does_not_import_it():
    code = "import sys, foveal.yolo, foveal.cli.app; print('ultralytics' in sys.modules)"
    assert run(code, Path.home()).strip() == "False"
