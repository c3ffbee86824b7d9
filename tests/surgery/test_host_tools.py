"""Insertions under the tools that people run their hosts with."""

import copy
import io
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import foveal

POSITIONS = ["after", "before", "replace", "inside_residual"]


class Block(nn.Module):
    def __init__(self, channels: int = 8):
        super().__init__()
        self.a = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.a(x)).relu()


def make(position: str = "after", init: str = "identity", attention: str = "se") -> nn.Module:
    torch.manual_seed(0)
    host = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), Block(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()  # fmt: skip
    where = ["1.norm", "2.norm"] if position == "inside_residual" else ["1", "2"]
    place = "after" if position == "inside_residual" else position
    foveal.insert(host, attention, where=where, position=place, init=init, example_input=X)
    for module in foveal.inserted_modules(host).values():
        if module.strength is not None:
            nn.init.constant_(module.strength, 0.5)
    return host


X = torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(1))

every_way = pytest.mark.parametrize(
    ("position", "init"), [(p, i) for p in POSITIONS[:3] for i in ("identity", "paper")]
)


@every_way
def test_deepcopy_and_pickle(position: str, init: str) -> None:
    model = make(position, init)
    expected = model(X)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    for other in (copy.deepcopy(model), torch.load(buffer, weights_only=False)):
        for p in model.parameters():
            p.data.zero_()
        assert torch.equal(other(X), expected)
        assert foveal.remove(other) == 2
        model = make(position, init)


@every_way
def test_export(position: str, init: str) -> None:
    model = make(position, init)
    batch, height, width = (torch.export.Dim.DYNAMIC,) * 3
    program = torch.export.export(
        model, (X,), dynamic_shapes=({0: batch, 2: height, 3: width},)
    ).module()
    for x in (X, torch.rand(3, 3, 20, 14)):
        torch.testing.assert_close(program(x), model(x))


@every_way
def test_compile_whole(position: str, init: str) -> None:
    model = make(position, init)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(X), model(X))


@every_way
def test_jit_trace(position: str, init: str) -> None:
    model = make(position, init)
    torch.testing.assert_close(torch.jit.trace(model, (X,))(X), model(X))


@pytest.mark.parametrize("position", POSITIONS)
def test_autocast_and_half_weights_are_silent(position: str) -> None:
    for cast in (True, False):
        model = make(position)
        foveal.remove(model)
        dtype = torch.float32 if cast else torch.bfloat16
        model.to(dtype)
        x = X.to(dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            before = model(x)
        foveal.insert(model, "se", where="1", example_input=X)
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            after = model(x)
        assert before.dtype == after.dtype == torch.bfloat16
        assert torch.equal(after, before)


@pytest.mark.parametrize("position", POSITIONS)
def test_channels_last(position: str) -> None:
    model = make(position).to(memory_format=torch.channels_last)
    x = X.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x), make(position)(X))
    foveal.remove(model)
    before = model(x)
    foveal.insert(model, "se", where="1", example_input=x)
    assert torch.equal(model(x), before)


def test_mixed_precision_training_moves_the_mechanism() -> None:
    model = make().train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(X).square().mean()
    loss.backward()
    for module in foveal.inserted_modules(model).values():
        assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def _train(rank: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    for position, init in (("after", "identity"), ("replace", "paper"), ("before", "paper")):
        model = make(position, init).train()
        parallel = nn.parallel.DistributedDataParallel(model)
        optimiser = torch.optim.SGD(foveal.param_groups(model, lr=0.01))
        for step in range(3):
            optimiser.zero_grad()
            x = torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(2 * step + rank))
            parallel(x).square().mean().backward()
            optimiser.step()
        weights = {k: v for k, v in model.state_dict().items() if "running" not in k}
        torch.save(weights, f"{folder}/{position}-{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_learn_together(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_train, (str(tmp_path),), nprocs=2)
    for position in ("after", "replace", "before"):
        first, second = (torch.load(tmp_path / f"{position}-{rank}.pt") for rank in (0, 1))
        assert all(torch.equal(first[key], second[key]) for key in first)
        started = make(position, "identity" if position == "after" else "paper").state_dict()
        moved = [k for k in first if "foveal" in k and not torch.equal(first[k], started[k])]
        assert moved
