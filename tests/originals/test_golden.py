"""Our modules give what the original code gave, outputs and gradients by the input."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import foveal
from foveal.originals import list_originals

FOLDER = Path(__file__).parents[1] / "golden"
CASES = {file.stem: json.loads(file.read_text()) for file in FOLDER.glob("*.json")}


def load(key):
    tensors = load_file(FOLDER / f"{key}.safetensors")
    weights = {k.removeprefix("param."): t for k, t in tensors.items() if k.startswith("param.")}
    return tensors, foveal.from_original(key, CASES[key]["args"], weights)


@pytest.mark.parametrize("key", sorted(CASES))
def test_output_and_gradients_agree(key):
    tensors, module = load(key)
    names = sorted(name for name in tensors if name.startswith("input"))
    inputs = [tensors[name].requires_grad_() for name in names]
    output = module(*inputs)
    gradients = torch.autograd.grad((output * tensors["cotangent"]).sum(), inputs)
    wanted = [tensors["output"], *(tensors[f"grad_{name}"] for name in names)]
    for found, want in zip([output, *gradients], wanted, strict=True):
        torch.testing.assert_close(found, want, rtol=0, atol=CASES[key]["tolerance"])


def test_every_original_has_golden_data():
    assert list_originals() == sorted(CASES)


@pytest.mark.parametrize("key", sorted(CASES))
def test_converted_modules_explain_themselves(key):
    tensors, module = load(key)
    weights = module.attention_map(tensors.get("input", tensors.get("input0")))
    assert torch.isfinite(weights).all()
