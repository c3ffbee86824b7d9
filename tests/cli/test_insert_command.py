"""`foveal targets` and `foveal insert` as a user runs them."""

import json

import pytest
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
