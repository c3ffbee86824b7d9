"""The installed ultralytics, imported so that it leaves the user's machine as it is.

It reads a settings file when it is imported, and writes it anew when it is missing or from another
version; it looks for a network; it installs packages that it misses. None of that was asked for.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from foveal.core.errors import require


def ultralytics() -> ModuleType:
    """The package, imported without a look at the network and without a touch on its settings.

    A process that imported it before keeps it as it is. Else `YOLO_OFFLINE` and `YOLO_AUTOINSTALL`
    are set, where the user set nothing, and the settings are a copy that ends with the process,
    unless the user chose a folder for them with `YOLO_CONFIG_DIR`.

    Raises:
        MissingExtraError: if it is not installed.
    """
    if "ultralytics" not in sys.modules:
        os.environ.setdefault("YOLO_OFFLINE", "true")
        os.environ.setdefault("YOLO_AUTOINSTALL", "false")
        if "YOLO_CONFIG_DIR" not in os.environ:
            os.environ["YOLO_CONFIG_DIR"] = str(_copied_settings())
    return require("ultralytics", "yolo")


def _copied_settings() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="foveal-yolo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    users = _users_folder() / "Ultralytics" / "settings.json"
    if users.is_file():
        (folder / "Ultralytics").mkdir()
        shutil.copyfile(users, folder / "Ultralytics" / "settings.json")
    return folder


def _users_folder() -> Path:
    if sys.platform == "win32":
        return Path.home() / "AppData" / "Roaming"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.getenv("XDG_CONFIG_HOME", str(Path.home() / ".config")))
