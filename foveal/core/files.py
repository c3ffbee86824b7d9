"""Files appear whole or not at all."""

import os
import tempfile
from pathlib import Path

from foveal.core.errors import FovealError


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write a file so that a reader, a crash or a full disk never meets half of it.

    The content goes to a temporary file beside the target, is flushed to the disk, and takes the
    target's name in one step. Missing parent folders are made.

    Raises:
        FovealError: if the disk is full or the place cannot be written; what stood there stays.
    """
    target = Path(path)
    data = content.encode() if isinstance(content, str) else content
    temporary = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except OSError as error:
        raise FovealError(
            f"could not write {target}: {error.strerror or error}; "
            "free some space or choose another place, nothing there was changed"
        ) from error
    finally:  # an interruption too leaves nothing behind
        if os.path.exists(temporary):
            os.unlink(temporary)
    return target
