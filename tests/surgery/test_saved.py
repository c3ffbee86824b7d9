"""An insertion as a file."""

from pathlib import Path

import pytest
import torch
from torch import nn

import foveal

safetensors = pytest.importorskip("safetensors")

X = torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(1))


class Halve(nn.Module):
    """A mechanism of the user's own, importable but not registered."""

    def __init__(self, channels: int, power: float = 1.0):
        super().__init__()
        self.factor = nn.Parameter(torch.full((channels, 1, 1), 0.5**power))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


def host(channels: int = 8) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, channels, 3), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)
    ).eval()


def stirred(model: nn.Module) -> nn.Module:
    for module in foveal.inserted_modules(model).values():
        for p in module.parameters():
            nn.init.normal_(p)
    return model


def test_a_fresh_host_gets_the_same_back(tmp_path: Path) -> None:
    model = host()
    foveal.insert(model, "se", where="0", options={"reduction": 4}, example_input=X)
    foveal.insert(model, "mhsa", where="2", position="before", init="paper", example_input=X)
    foveal.insert(model, Halve, where="2", position="replace", options={"power": 2.0},
                  example_input=X)  # fmt: skip
    foveal.insert(model, "eca", where="0", example_input=X)
    stirred(model)
    path = foveal.save_insertion(model, tmp_path / "insertion.safetensors")
    with safetensors.safe_open(path, "pt") as file:
        names = set(file.keys())
    assert not any(key.endswith("0.weight") for key in names), "the host's weights are not in it"

    fresh = host()
    report = foveal.load_insertion(fresh, path, X)
    assert torch.equal(fresh(X), model(X))
    assert set(fresh.state_dict()) == set(model.state_dict())
    assert [p.attention for p in report.places] == [
        "se", "eca", "mhsa", f"py:{__name__}:Halve",
    ]  # fmt: skip
    again = foveal.save_insertion(fresh, tmp_path / "again.safetensors")
    assert again.read_bytes() == path.read_bytes()


def test_what_has_no_name_is_not_saved(tmp_path: Path) -> None:
    model = host()
    with pytest.raises(foveal.FovealError, match="no insertion to save"):
        foveal.save_insertion(model, tmp_path / "x.safetensors")
    foveal.insert(model, lambda channels: Halve(channels), where="0", example_input=X)
    with pytest.raises(foveal.FovealError, match="function or a local class"):
        foveal.save_insertion(model, tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


def test_another_host_is_refused_and_left_alone(tmp_path: Path) -> None:
    model = host()
    foveal.insert(model, "se", where="2", example_input=X)
    path = foveal.save_insertion(model, tmp_path / "x.safetensors")
    wide, short = host(16), nn.Sequential(nn.Conv2d(3, 8, 3))
    for other, message in ((wide, "16 channels .* made for 8"), (short, "no module '2'")):
        text = repr(other)
        with pytest.raises(foveal.FovealError, match=message):
            foveal.load_insertion(other, path, X)
        assert repr(other) == text


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(foveal.FovealError, match="no file"):
        foveal.load_insertion(host(), path, X)
    path.write_bytes(b"not one")
    with pytest.raises(foveal.FovealError, match="damaged"):
        foveal.load_insertion(host(), path, X)
    from safetensors.torch import save_file

    save_file({"a": X}, path)
    with pytest.raises(foveal.FovealError, match="holds no insertion"):
        foveal.load_insertion(host(), path, X)


@pytest.mark.parametrize(
    "spec", ["py:os:system", "py:not_imported_module:Thing", "py:builtins:eval"]
)
def test_a_file_calls_nothing_but_imported_module_classes(tmp_path: Path, spec: str) -> None:
    model = host()
    foveal.insert(model, Halve, where="0", example_input=X)
    (inserted,) = foveal.inserted_modules(model).values()
    inserted.entry["attention"] = spec
    path = foveal.save_insertion(model, tmp_path / "x.safetensors")
    with pytest.raises(foveal.FovealError, match="not a module class that is imported"):
        foveal.load_insertion(host(), path, X)
