"""Insertion into models over video, and what cannot be inserted at all."""

import pytest
import torch
from torch import Tensor, nn

import foveal
from foveal import FovealError, Map, Scores, Tokens, Video
from foveal.study.config import VariantConfig
from foveal.study.yaml_reader import FieldError
from foveal.surgery.hosts.small_cnn import SmallCNN


class Clips(nn.Module):
    """A network of 3-D convolutions."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv3d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm3d(8)
        self.body = nn.Conv3d(8, 16, 3, stride=2, padding=1)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.norm(self.stem(x)).relu()).relu().mean((2, 3, 4)))


class Shift(nn.Module):
    """Takes a share of the frame before."""

    def __init__(self, channels: int):
        super().__init__()
        self.share = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Video) -> Video:
        return x + self.share * x.roll(1, 1)


X = torch.rand(2, 3, 4, 9, 10)


@pytest.mark.parametrize("attention", ["eca", "mhsa", Shift])
@pytest.mark.parametrize("where", ["stem", "norm", "body"])
def test_mechanisms_of_every_layout_stand_in_clips(attention, where):
    model = Clips().eval()
    before = model(X)
    report = foveal.insert(model, attention, where=where, example_input=X)
    assert report.places[0].layout == "clip"
    assert report.places[0].channels == (16 if where == "body" else 8)
    assert report.heard
    assert torch.equal(model(X), before)


def test_a_target_is_described():
    target = next(t for t in foveal.find_targets(Clips(), X) if t.path == "body")
    assert (target.layout, target.channels, target.size, target.stride) == (
        "clip",
        16,
        (5, 5),
        None,
    )


def test_an_insertion_in_clips_is_saved_and_loaded(tmp_path):
    model, fresh = Clips().eval(), Clips().eval()
    foveal.insert(model, "eca", where="stem", init="paper", example_input=X)
    path = foveal.save_insertion(model, tmp_path / "eca.safetensors")
    fresh.load_state_dict({k: v for k, v in model.state_dict().items() if "foveal" not in k})
    foveal.load_insertion(fresh, path, X)
    torch.testing.assert_close(fresh(X), model(X))
    (inserted,) = foveal.inserted_modules(model).values()
    assert type(inserted.mechanism).__name__ == "ECA"


def test_video_has_no_place_among_pictures():
    with pytest.raises(FovealError, match="takes a video, and here is a map of shape"):
        foveal.insert(SmallCNN(), Shift, where="stage_ends")


class Two(nn.Module):
    def __init__(self, channels: int):
        super().__init__()

    def forward(self, x: Tokens, context: Tokens) -> Tokens:
        return x + context.mean(1, keepdim=True)


class Head(nn.Module):
    def __init__(self, channels: int):
        super().__init__()

    def forward(self, x: Map) -> Scores:
        return x.mean((2, 3))


@pytest.mark.parametrize(
    ("attention", "reason"),
    [
        (Two, r"Two cannot be inserted: it needs context, tokens \(B, M, D\), beside x"),
        (lambda channels: Two(channels), "Two cannot be inserted: it needs context"),
        (Head, r"Head cannot be inserted: it returns scores \(B, K\)"),
    ],
)
def test_what_is_no_drop_in_is_refused(attention, reason):
    model = SmallCNN()
    keys = list(model.state_dict())
    with pytest.raises(FovealError, match=reason):
        foveal.insert(model, attention, where="stage_ends")
    assert list(model.state_dict()) == keys


@pytest.mark.parametrize("name", foveal.list_attentions(drop_in=False))
def test_registered_ones_are_refused_by_name_in_models_and_studies(name):
    with pytest.raises(FovealError, match=f"{name} cannot be inserted: it "):
        foveal.insert(SmallCNN(), name, where="stage_ends")
    with pytest.raises(FieldError, match=f"{name} cannot be studied in a model's places: it "):
        VariantConfig(name)
