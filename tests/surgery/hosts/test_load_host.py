import subprocess
import sys

import pytest
import torch
from torch import nn

from foveal import FovealError
from foveal.surgery.hosts import host_input, load_host


def test_builtin_model_is_small_and_runs():
    model = load_host("builtin:small_cnn", num_classes=7)
    assert model(host_input("builtin:small_cnn", batch=3)).shape == (3, 7)
    assert 13_000 < sum(p.numel() for p in model.parameters()) < 15_500


def test_timm_and_torchvision_take_classes_and_channels():
    for spec in ("timm:resnet10t", "torchvision:squeezenet1_1"):
        model = load_host(spec, num_classes=5, in_channels=1).eval()
        assert model(torch.rand(1, 1, 64, 64)).shape == (1, 5)


def test_host_input_is_what_timm_says():
    assert host_input("timm:inception_v3").shape == (1, 3, 299, 299)
    assert host_input("timm:inception_v3", size=96, batch=2).shape == (2, 3, 96, 96)
    assert host_input("torchvision:resnet18").shape == (1, 3, 224, 224)


def test_nothing_is_fetched_without_pretrained(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a download was tried")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision._internally_replaced_utils.load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    # segmentation models fetch a backbone unless they are told not to
    assert isinstance(load_host("torchvision:lraspp_mobilenet_v3_large"), nn.Module)
    assert isinstance(load_host("timm:resnet10t.c3_in1k"), nn.Module)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("timm:resnet_18x", ["timm has no model 'resnet_18x'", "resnet18"]),
        ("torchvision:resnet8", ["torchvision has no model 'resnet8'", "resnet18"]),
        ("resnet18", ["timm:resnet18 or torchvision:resnet18"]),
        ("tim:resnet18", ["did you mean timm?"]),
        ("builtin:smallcnn", ["did you mean small_cnn?"]),
        ("py:no_such_package.models:build", ["no module 'no_such_package'"]),
        ("py:math:squirt", ["math has no function or class 'squirt'", "sqrt"]),
        ("py:math", ["must be py:package.module:name"]),
        ("py:builtins:dict", ["must return a torch.nn.Module, it returned a dict"]),
    ],
)
def test_a_wrong_name_says_what_is_near(spec, words):
    with pytest.raises(FovealError) as error:
        load_host(spec)
    for word in words:
        assert word in str(error.value)


def test_factory_gets_only_what_it_names(tmp_path, monkeypatch):
    (tmp_path / "my_hosts.py").write_text(
        "from torch import nn\n"
        "def plain(): return nn.Conv2d(3, 2, 1)\n"
        "def sized(num_classes=2): return nn.Conv2d(3, num_classes, 1)\n"
        "def broken(): raise RuntimeError('no weights here')\n"
    )
    (tmp_path / "needs_more.py").write_text("import a_thing_not_installed\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    plain = load_host("py:my_hosts:plain", num_classes=9)
    sized = load_host("py:my_hosts:sized", num_classes=9)
    assert isinstance(plain, nn.Conv2d)
    assert isinstance(sized, nn.Conv2d)
    assert (plain.out_channels, sized.out_channels) == (2, 9)
    with pytest.raises(FovealError, match="RuntimeError: no weights here"):
        load_host("py:my_hosts:broken")
    with pytest.raises(FovealError, match=r"importing needs_more failed.*a_thing_not_installed"):
        load_host("py:needs_more:x")


def test_missing_extra_is_named():
    code = (
        "import sys; sys.modules['timm'] = None\n"
        "from foveal.surgery.hosts import load_host\n"
        "try: load_host('timm:resnet18')\n"
        "except ValueError as error: print(error)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "foveal[timm]" in output.stdout, output.stderr
