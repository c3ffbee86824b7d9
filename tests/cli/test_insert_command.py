"""`foveal targets` and `foveal insert` as a user runs them."""

import json

import pytest
import torch
from run_command import run_command

from foveal.surgery.hosts import load_host
from foveal.surgery.saved import load_insertion

HOST = "builtin:small_cnn"


def test_targets_as_json_and_as_table() -> None:
    said = run_command("targets", HOST, "--json")
    targets = json.loads(said.out)
    ends = [target for target in targets if "stage_end" in target["roles"]]
    assert ends
    assert {"path", "cls", "channels", "stride", "size", "layout"} <= set(ends[0])
    assert all(target["path"] in run_command("targets", HOST, "--all").out for target in ends)


def test_insert_saves_what_can_be_loaded(tmp_path) -> None:
    out = tmp_path / "insertion.safetensors"
    said = run_command(
        "insert", HOST, "--attention", "se", "--option", "reduction=4", "--out", out, "--json"
    )
    report = json.loads(said.out)
    assert report["largest_change"] == 0
    assert report["plan"]["places"][0]["options"] == {"reduction": 4}
    assert report["saved"] == str(out)
    again = load_insertion(load_host(HOST), out, None)
    assert [place.path for place in again.places] == [p["path"] for p in report["places"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--attention", "see"], "there is no attention 'see'"),
        (["--attention", "se", "--option", "reduction"], "NAME=VALUE"),
        (["--attention", "se", "--where", "nowhere"], "matches no module"),
        (["--attention", "se", "--position", "under"], "must be one of"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str) -> None:
    said = run_command("insert", HOST, *arguments)
    assert said.code == 2
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1


NECK = """
from torch import nn


class Neck(nn.Module):
    def forward(self, x):
        return {"fine": x, "coarse": x[..., ::2, ::2]}


def host():
    return nn.Sequential(nn.Conv2d(3, 8, 3), Neck())
"""


def test_levels_of_a_pyramid(tmp_path, monkeypatch) -> None:
    (tmp_path / "neck_of_two.py").write_text(NECK, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    host = "py:neck_of_two:host"
    said = run_command("targets", host, "--pyramids", "--size", 18, "--json")
    (place,) = json.loads(said.out)
    assert (place["path"], place["position"]) == ("1", "after")
    assert place["sizes"] == [[16, 16], [8, 8]]
    assert "16×16, 8×8" in run_command("targets", host, "--pyramids", "--size", 18).out
    put = ("insert", host, "--attention", "eca > coord", "--across-levels", "--size", 18)
    out = tmp_path / "levels.safetensors"
    report = json.loads(run_command(*put, "--where", "1", "--out", out, "--json").out)
    assert report["largest_change"] == 0
    assert report["heard"]
    assert report["plan"]["places"][0]["layout"] == "maps"
    again = load_insertion(load_host(host), out, torch.rand(1, 3, 18, 18))
    assert again.parameters_added == report["parameters_added"]
    said = run_command(*put)
    assert said.code == 2
    assert "--across-levels needs --where" in said.err
