"""Two processes, on the CPU: ultralytics itself starts several on GPUs only."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import foveal
from foveal.yolo import make_dataset

pytest.importorskip("ultralytics", reason="needs the extra yolo")

WORKER = """
import os, sys
import torch.distributed as dist
from torch import nn
import foveal
from foveal.yolo.trainer import DetectionTrainer

parallel = nn.parallel.DistributedDataParallel
nn.parallel.DistributedDataParallel = lambda m, device_ids=None, **more: parallel(m, **more)

class OnCPU(DetectionTrainer):
    # what asks for CUDA is left out: the choice of a device, and the last evaluation
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.world_size, self.ddp = 2, False
    def _setup_ddp(self): ...
    def final_eval(self): ...

dist.init_process_group("gloo")
model, data, folder = sys.argv[1:]
trainer = OnCPU(overrides=dict(
    model=model, data=data, epochs=1, imgsz=64, batch=4, nbs=4, plots=False, amp=False, val=False,
    device="cpu", project=folder, save_dir=folder + "/run", optimizer="AdamW", lr0=0.001,
))
trainer.train()
strengths = [m.strength.item() for m in foveal.inserted_modules(trainer.model.module).values()]
print("\\nSTRENGTHS", type(trainer.model).__name__, strengths, flush=True)
"""


@pytest.mark.slow
def test_two_processes_teach_one_insertion(tmp_path: Path):
    data = make_dataset(tmp_path / "made", images=12, size=64).data
    model = foveal.yolo.YOLO("yolov8n.yaml")
    foveal.insert(model, "cbam", where="neck.out")
    model.save(tmp_path / "host.pt")
    (tmp_path / "worker.py").write_text(WORKER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    script = [tmp_path / "worker.py", tmp_path / "host.pt", data, tmp_path]
    done = subprocess.run(
        [*command, "--master_port", str(port), *map(str, script)],
        env=os.environ | {"PYTHONPATH": str(Path(foveal.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("STRENGTHS")]
    assert len(told) == 2, done.stderr[-2000:]
    assert told[0] == told[1]
    assert told[0].startswith("STRENGTHS DistributedDataParallel")
    assert "0.0," not in told[0]
