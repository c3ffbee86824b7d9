"""What an insertion into a YOLO survives, cell by cell: family and task × mechanism × place.

For each cell, in this order: predictions bit-equal at birth; every host tensor in the network that
the trainer builds; two epochs, the first of them ended by `kill -9`; resumed from last.pt; every
inserted tensor compared with its birth; `val` and the raw outputs before and after plain
`YOLO("best.pt")` opened the file in a fresh process; ONNX at three sizes against the eager model.

    python -m benchmarks.yolo_evidence --out evidence            # all cells, in a few minutes
    python -m benchmarks.yolo_evidence --models yolov8n.yaml --attention cbam

The pictures are made (foveal.yolo.make_dataset) and few: this shows the path, not learning. The
host starts from a file, as a user's does: random weights, and batch-norm statistics from one pass,
without which a network's outputs hardly depend on its input and every comparison would pass. The
pass is over photographs: with the statistics of noise, a photograph's values grow from layer to
layer by four orders, and with them what rounding does. For the same reason the host learns slowly,
and what is inserted fifty times as fast.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import foveal
from foveal.core.files import write_whole
from foveal.surgery.flow import tensors_in
from foveal.yolo.exporting import export, photographs
from foveal.yolo.package import ultralytics

MODELS = (
    *("yolov8n.yaml", "yolo11n-obb.yaml", "yolov8n-seg.yaml", "yolo26n-pose.yaml"),
    *("yolov8n-cls.yaml", "yolov5n.yaml", "yolo26n.yaml", "yolov10n.yaml", "yolo12n.yaml"),
    "rtdetr-l.yaml",
)
ATTENTION = ("cbam", "eca", "mhsa", "eca > coord")
PLACES = ("backbone.last2", "head.in")
TRAINED = 96
MOVED = 0.9
"""Share of the inserted tensors that must have moved. Both are read in half precision, as a
checkpoint has them, in which a single weight of 1 can round to where it was."""
TRACED = 160

FRESH = """
import hashlib, json, sys, torch
from ultralytics import YOLO

def flat(y):
    return y if isinstance(y, torch.Tensor) else flat(y[0])

told = {}
for name, path, data, size in json.loads(sys.argv[1]):
    model = YOLO(path)
    val = dict(data=data, imgsz=size, batch=4, plots=False, verbose=False, project=sys.argv[2])
    results = model.val(**val)
    shown = hashlib.sha256()
    x = torch.rand(1, 3, 160, 192, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        y = model.model.eval()(x)
    shown.update((y if isinstance(y, torch.Tensor) else flat(y)).numpy().tobytes())
    told[name] = {**results.results_dict, "outputs": shown.hexdigest()}
print("TOLD " + json.dumps(told))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--attention", nargs="+", default=ATTENTION)
    parser.add_argument("--places", nargs="+", default=PLACES)
    parser.add_argument("--out", type=Path, default=Path("yolo_evidence"))
    options = parser.parse_args()
    os.environ["YOLO_VERBOSE"] = "false"
    ultralytics()
    torch.set_num_threads(1)
    out = options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    warm_up()
    cells = []
    for model in options.models:
        cells += combination(model, options.attention, options.places, out)
        write_whole(out / "evidence.json", json.dumps(cells, indent=1, default=str))
        write_whole(out / "evidence.md", table(cells))
    print(table(cells))
    sys.exit(any(not cell["good"] for cell in cells))


def warm_up() -> None:
    """Import what training and export import, once, before the children are forked.

    Nothing is trained or run here: the threads of autograd or onnxruntime do not survive a fork.
    """
    for module in (
        "onnx",
        "onnxruntime",
        "polars",
        "torch._inductor",
        "ultralytics.engine.exporter",
    ):
        import_module(module)
    import_module("foveal.yolo.model")


def combination(
    model: str, attention: tuple[str, ...], places: tuple[str, ...], out: Path
) -> list[dict[str, Any]]:
    """All cells of one family and task."""
    folder = out / model.removesuffix(".yaml")
    data = dataset(model, out)
    host = folder / "host.pt"
    in_a_child(lambda: make_host(model, data, host), folder / "host.json")
    cells = []
    for mechanism in attention:
        for place in places:
            cells.append(cell(model, mechanism, place, data, host, folder / f"{len(cells)}"))
    again = [[str(i), c["best"], str(data), TRAINED] for i, c in enumerate(cells) if "best" in c]
    done = subprocess.run(
        [sys.executable, "-c", FRESH, json.dumps(again), str(folder)],
        capture_output=True,
        text=True,
    )
    line = next((t for t in done.stdout.splitlines() if t.startswith("TOLD ")), "TOLD {}")
    told = json.loads(line.removeprefix("TOLD "))
    for i, one in enumerate(cells):
        there = told.get(str(i))
        one["reloaded"] = there is not None
        one["val_equal"] = there is not None and there == one.get("metrics")
        one["good"] = bool(
            one.get("born_equal")
            and one["kept"] == one["host_tensors"]
            and one["moved"] >= MOVED * one["inserted_tensors"]
            and one["killed"]
            and one["resumed_at"] == 1
            and one["val_equal"]
            and one.get("onnx") is not None
        )
        print(row(one), flush=True)
    if done.returncode:
        print(done.stderr[-2000:])
    return cells


def cell(
    model: str, mechanism: str, place: str, data: Path, host: Path, folder: Path
) -> dict[str, Any]:
    """One cell but for the fresh process; the two trainings run in processes of their own."""
    started = time.perf_counter()
    found: dict[str, Any] = {"model": model, "attention": mechanism, "place": place}
    found |= {"kept": 0, "host_tensors": -1, "moved": 0, "inserted_tensors": -1, "resumed_at": None}
    first = in_a_child(lambda: begin(mechanism, place, data, host, folder), folder / "begin.json")
    found |= first
    found["killed"] = first.get("signal") == signal.SIGKILL
    if found["killed"]:
        found |= in_a_child(lambda: go_on(data, folder), folder / "go_on.json")
    found["seconds"] = round(time.perf_counter() - started, 1)
    return found


def begin(mechanism: str, place: str, data: Path, host: Path, folder: Path) -> dict[str, Any]:
    """Insert, train, and be killed when the first checkpoint has been written."""
    from foveal.yolo.trainer import host_transfer

    model: Any = opened(host)
    network = model.model
    before = predictions(network)
    weights = {k: v.clone() for k, v in network.state_dict().items()}
    torch.manual_seed(0)
    report = foveal.insert(model, mechanism, where=place)
    after = predictions(network)
    added = {k: v for k, v in network.state_dict().items() if k not in weights}
    born = {k: v.half() for k, v in added.items() if v.is_floating_point()}  # counters apart
    torch.save(born, folder / "born.pt")
    found: dict[str, Any] = {
        "born_equal": all(torch.equal(a, b) for a, b in zip(before, after, strict=True)),
        "places": len(report.places),
        "parameters_added": report.parameters_added,
        "host_tensors": len(weights),
    }

    def note(trainer: Any) -> None:
        built = foveal.inserted_modules(trainer.model)
        found["kept"], found["missed"] = host_transfer(trainer.model, opened(host).model)
        assert len(built) == len(report.places)
        write_whole(folder / "begin.json", json.dumps(found))

    model.add_callback("on_pretrain_routine_end", note)
    model.add_callback("on_model_save", lambda trainer: os.kill(os.getpid(), signal.SIGKILL))
    model.train(
        data=str(data), epochs=2, imgsz=TRAINED, batch=4, nbs=4, plots=False, amp=False,
        project=str(folder), name="run", exist_ok=True, verbose=False, optimizer="AdamW", lr0=1e-4,
        warmup_epochs=0.0, attention_lr=50.0,
    )  # fmt: skip
    return found


def go_on(data: Path, folder: Path) -> dict[str, Any]:
    """Resume, and see what has become of the insertion."""
    weights = folder / "run/weights"
    model: Any = opened(weights / "last.pt")
    model.train(resume=True)
    found: dict[str, Any] = {"resumed_at": model.trainer.start_epoch}
    born = torch.load(folder / "born.pt")
    now = model.model.state_dict()
    found["inserted_tensors"] = len(born)
    found["still"] = [k for k in born if torch.equal(born[k].float(), now[k].float())]
    found["moved"] = len(born) - len(found["still"])
    same = {"imgsz": TRAINED, "batch": 4, "plots": False, "verbose": False}
    results = model.val(data=str(data), project=str(folder), **same)
    found["metrics"] = {k: float(v) for k, v in results.results_dict.items()}
    shown = predictions(opened(weights / "best.pt").model)[0].numpy().tobytes()
    found["metrics"]["outputs"] = hashlib.sha256(shown).hexdigest()
    found["best"] = str(weights / "best.pt")
    write_whole(folder / "go_on.json", json.dumps(found))
    done = export(weights / "best.pt", "onnx", imgsz=TRACED)
    found["onnx"] = [c.difference for c in done.comparisons]
    found["share"] = done.attention
    return found


def opened(path: Path) -> Any:
    return foveal.yolo.YOLO(str(path))


def predictions(network: nn.Module) -> list[Tensor]:
    x = torch.rand(1, 3, TRACED, TRACED + 32, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return [t.clone() for t in tensors_in(network.eval()(x))]


def make_host(model: str, data: Path, path: Path) -> dict[str, Any]:
    """A file to start from, with as many classes as the data has."""
    import yaml

    wrapper: Any = (foveal.yolo.RTDETR if "rtdetr" in model else foveal.yolo.YOLO)(model)
    if data.is_dir():
        classes = len(list((data / "train").iterdir()))
    else:
        classes = len(yaml.safe_load(data.read_text())["names"])
    torch.manual_seed(0)
    network = type(wrapper.model)({**wrapper.model.yaml, "nc": classes}, verbose=False)
    network.args, network.task = wrapper.model.args, wrapper.task
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        network.train()
        head = network.model[-1]
        head.eval()  # RT-DETR's asks for labels in training
        seen = photographs(TRACED, TRACED, 3)
        network(torch.cat([seen, seen.flip(2), seen.flip(3)]))
    for norm in norms:
        norm.momentum = 0.03
    wrapper.model = network.eval()
    wrapper.save(path)
    return {"classes": classes}


def dataset(model: str, out: Path) -> Path:
    """Made pictures with the labels that the task needs."""
    made = foveal.yolo.make_dataset(out / "made", images=18, size=TRAINED).data
    task = next((t for t in ("seg", "pose", "obb", "cls") if f"-{t}" in model), "")
    if not task:
        return made
    folder = out / f"made-{task}"
    if task == "cls":
        return folder if folder.is_dir() else _by_class(folder)
    if not folder.is_dir():
        import shutil

        shutil.copytree(made.parent, folder)
        for cache in folder.rglob("*.cache"):
            cache.unlink()
        for labels in folder.rglob("labels/**/*.txt"):
            lines = [_labelled(line, task) for line in labels.read_text().splitlines()]
            labels.write_text("\n".join(lines) + "\n")
        content = (folder / "data.yaml").read_text().replace(str(made.parent), str(folder))
        if task == "pose":
            content += "\nkpt_shape: [17, 3]\n"
        (folder / "data.yaml").write_text(content)
    return folder / "data.yaml"


def _labelled(line: str, task: str) -> str:
    """A box as a polygon, as a turned box, or with points in it."""
    name, x, y, w, h = line.split()
    cx, cy, dx, dy = float(x), float(y), float(w) / 2, float(h) / 2
    if task == "pose":
        points = [(cx + dx * (i / 16 - 0.5), cy + dy * (i / 16 - 0.5)) for i in range(17)]
        return f"{line} " + " ".join(f"{a:.5f} {b:.5f} 2" for a, b in points)
    corners = [(cx - dx, cy - dy), (cx + dx, cy - dy), (cx + dx, cy + dy), (cx - dx, cy + dy)]
    return f"{name} " + " ".join(f"{min(max(v, 0), 1):.5f}" for c in corners for v in c)


def _by_class(folder: Path) -> Path:
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4)):
        for name, colour in (("red", (160, 40, 40)), ("blue", (40, 40, 160))):
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                noise = random.integers(0, 90, (TRAINED, TRAINED, 3)) + np.array(colour)
                Image.fromarray(noise.astype("uint8")).save(folder / split / name / f"{i}.png")
    return folder


def in_a_child(work: Callable[[], dict[str, Any]], path: Path) -> dict[str, Any]:
    """Do it in a process of its own, which may be killed; what it wrote so far counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            sys.stdout.flush()
            log = os.open(path.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            found = work()
            write_whole(path, json.dumps(found, default=str))
            os._exit(0)
        except BaseException as error:
            traceback.print_exc()
            sys.stderr.flush()
            known = json.loads(path.read_text()) if path.exists() else {}
            known["error"] = f"{type(error).__name__}: {error}"[:400]
            write_whole(path, json.dumps(known))
            os._exit(1)
    _, status = os.waitpid(child, 0)
    found = json.loads(path.read_text()) if path.exists() else {}
    if os.WIFSIGNALED(status):
        found["signal"] = os.WTERMSIG(status)
    return found


def row(one: dict[str, Any]) -> str:
    onnx = one.get("onnx")
    cells = [
        one["model"].removesuffix(".yaml"),
        one["attention"],
        one["place"],
        "yes" if one.get("born_equal") else "NO",
        f"{one['kept']} of {one['host_tensors']}",
        "-9" if one["killed"] else "NO",
        f"epoch {one['resumed_at']}",
        f"{one['moved']} of {one['inserted_tensors']}",
        "equal" if one.get("val_equal") else "NO",
        " ".join(f"{d:.0e}" for d in onnx) if onnx else f"NO {one.get('error', '')[:80]}",
        f"{one['share']:.0e}" if one.get("share") is not None else "",
        f"{one['seconds']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def table(cells: list[dict[str, Any]]) -> str:
    head = (
        "| model | attention | place | bit-equal at birth | host tensors kept | killed | resumed "
        "at | inserted tensors moved | val and outputs after reload | ONNX at three sizes | share "
        "of attention | s |"
    )
    good = sum(bool(cell["good"]) for cell in cells)
    lines = [head, "|" + "---|" * (head.count("|") - 1), *map(row, cells)]
    return "\n".join([*lines, "", f"{good} of {len(cells)} cells good."]) + "\n"


if __name__ == "__main__":
    main()
