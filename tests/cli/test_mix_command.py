"""A mix where the commands take a name."""

import json

import pytest
import torch
from run_command import run_command

from foveal import remove
from foveal.surgery.hosts import load_host
from foveal.surgery.saved import load_insertion

HOST = "builtin:small_cnn"
MIX = "mean(eca>coord|se(reduction=4), weights=dynamic)"
PRINTED = "mean(eca > coord | se(reduction=4), weights=dynamic)"


def test_insert_saves_a_mix_that_can_be_loaded(tmp_path):
    out = tmp_path / "mix.safetensors"
    said = run_command("insert", HOST, "--attention", MIX, "--out", out, "--json")
    report = json.loads(said.out)
    assert report["largest_change"] == 0
    assert {place["attention"] for place in report["places"]} == {MIX}
    host = load_host(HOST)
    loaded = load_insertion(host, out)
    assert loaded.parameters_added == report["parameters_added"]
    mixes = [m for m in host.modules() if getattr(m, "notation", "") == PRINTED]
    assert len(mixes) >= len(report["places"])
    remove(host)
    bare = load_host(HOST)
    x = torch.rand(2, *next(bare.parameters()).shape[1:2], 32, 32)
    assert set(host.state_dict()) == set(bare.state_dict())
    assert host.eval()(x).shape == bare.eval()(x).shape


def test_info_measure_and_check():
    card = json.loads(run_command("info", MIX, "--json").out)
    assert (card["name"], card["family"], card["parts"]) == (PRINTED, "mix", ["eca", "coord", "se"])
    assert "\neca: Gate each channel" in run_command("info", MIX).out
    said = run_command(
        *("measure", HOST, "--attention", MIX, "--seconds", "0", "--json"),
    )
    assert f"with {MIX}" in json.loads(said.out)
    said = run_command("check", MIX, "--law", "shape", "--law", "cost", "--json")
    assert [r["status"] for r in json.loads(said.out)[MIX]] == ["passed", "passed"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("info", "eca > cord"),
        ("check", "eca > cord"),
        ("insert", HOST, "--attention", "eca > cord"),
        ("measure", HOST, "--attention", "eca > cord"),
    ],
)
def test_a_mistake_is_pointed_at(arguments):
    said = run_command(*arguments)
    assert said.code != 0
    assert "did you mean coord?\n  eca > cord\n        ^^^^" in said.err
