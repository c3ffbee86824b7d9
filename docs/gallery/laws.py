"""Whether a mechanism can be exported: three laws of the conformance kit, and their record.

The record `laws.csv` stands beside this file. A line holds for the code whose digest it has; for
other code the laws are tried again.
"""

import ast
import csv
import hashlib
import inspect
import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import torch

from docs.gallery.processes import in_processes
from foveal.core.card import Card
from foveal.core.files import write_whole
from foveal.core.registry import attention_info
from foveal.testing import examine

LAWS = {
    "export": "`torch.export`, any batch and size",
    "onnx": "ONNX, run by onnxruntime",
    "compile": "`torch.compile`, one graph",
}
RECORD = Path(__file__).with_name("laws.csv")
ROOT = Path(__file__).parents[2]
_KEYS: tuple[str, ...] = ("mechanism", "digest", "torch", "law", "status", "reason")

Line = dict[str, str]


def results(names: Iterable[str]) -> dict[str, list[Line]]:
    """What came of each law, tried now where the record does not know this code."""
    record = _read()
    digests = {name: digest(attention_info(name)) for name in names}
    known = {n: [line for line in record.get(n, []) if line["digest"] == d]
             for n, d in digests.items()}  # fmt: skip
    unknown = [name for name, lines in known.items() if len(lines) < len(LAWS)]
    if unknown:
        tried = in_processes(_try, unknown, few=1)
        for name, lines in zip(unknown, tried, strict=True):
            known[name] = [{"mechanism": name, "digest": digests[name], **line} for line in lines]
            _write(_read() | {name: known[name]})
    return known


def exportable(lines: list[Line]) -> bool:
    """Whether both forms of export work."""
    status = {line["law"]: line["status"] for line in lines}
    return status.get("export") == status.get("onnx") == "passed"


def digest(card: Card) -> str:
    """Of the code, docstrings and comments left out, of the mechanism's file and of all in
    `attention` and `ops` that it imports."""
    start = inspect.getsourcefile(card.cls)
    assert start is not None
    seen: dict[Path, None] = {}
    waiting = [Path(start)]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen[path] = None
            waiting += _imported(path)
    code = "\n".join(_code(path) for path in sorted(seen))
    return hashlib.sha256(code.encode()).hexdigest()[:16]


@cache
def _code(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@cache
def _imported(path: Path) -> list[Path]:
    """Files of mechanisms and operations that a file imports; of a folder, those it consists of."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        if node.module.startswith(("foveal.ops", "foveal.attention")):
            target = ROOT / node.module.replace(".", "/")
            if target.with_suffix(".py").exists():
                found.append(target.with_suffix(".py"))
            elif "ops" in node.module:
                found += sorted(target.glob("*.py"))
    return found


def _try(name: str) -> list[Line]:
    return [
        {"torch": torch.__version__.split("+")[0], "law": r.check, "status": r.status,
         "reason": " ".join(r.reason.split())}
        for r in examine(name, laws=LAWS)
    ]  # fmt: skip


def _read() -> dict[str, list[Line]]:
    record: dict[str, list[Line]] = {}
    if RECORD.exists():
        with RECORD.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                record.setdefault(line["mechanism"], []).append(line)
    return record


def _write(record: dict[str, list[Line]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, _KEYS, lineterminator="\n")
    writer.writeheader()
    for name in sorted(record):
        writer.writerows(record[name])
    write_whole(RECORD, text.getvalue())
