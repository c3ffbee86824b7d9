"""`foveal yolo dataset`."""

import json
from pathlib import Path

from run_command import run_command


def test_makes_a_dataset_and_says_what_is_in_it(tmp_path: Path):
    asked = ("yolo", "dataset", tmp_path / "set", "--images", 12, "--classes", "disc, star")
    said = run_command(*asked, "--json")
    data = json.loads(said.out)
    assert said.code == 0
    assert data["images"] == {"train": 8, "val": 2, "test": 2}
    assert list(data["objects"]) == ["disc", "star"]
    assert Path(data["data"]).is_file()
    again = run_command(*asked)
    assert "stood there already" in again.out


def test_refuses_a_folder_that_holds_something_else(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    said = run_command("yolo", "dataset", tmp_path)
    assert said.code == 2
    assert "no dataset of Foveal's" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
