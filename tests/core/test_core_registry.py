"""Registering, finding and building mechanisms, and what is said when that fails."""

import copy
import functools
import pickle
import warnings
from importlib.metadata import EntryPoint

import pytest
import torch
from torch import Tensor, nn

from foveal import (
    FovealError,
    Map,
    Tokens,
    attention_info,
    create_attention,
    list_attentions,
    register_attention,
)
from foveal.core import registry
from foveal.core.names import AMBIGUOUS


class Gate(nn.Module):
    def __init__(self, channels: int, width: int = 1):
        super().__init__()
        self.width = width
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Map) -> Map:
        return x * self.scale


class Mixer(nn.Module):
    def __init__(self, channels: int):
        super().__init__()

    def forward(self, x: Tokens) -> Tokens:
        return x


@pytest.fixture(autouse=True)
def scratch(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_cards", dict(registry._cards))


def register(cls: type[nn.Module], name: str = "gate", **facts) -> type[nn.Module]:
    """Register a copy, so that the class itself is left as it was."""
    twin = type(cls.__name__, (cls,), {"__module__": __name__})
    facts = {"paper": "Somebody, 2020", "family": "channel"} | facts
    return register_attention(name, **facts)(twin)


# finding -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "near"), [("ecaa", "eca"), ("cbamm", "cbam"), ("ECA", "eca"), ("mhs", "mhsa")]
)
def test_near_names_are_suggested(wrong, near):
    with pytest.raises(FovealError, match=f"no attention '{wrong}'; did you mean .*{near}"):
        create_attention(wrong, 8)


def test_name_that_is_near_to_none():
    with pytest.raises(FovealError) as raised:
        attention_info("zzzzzz")
    assert str(raised.value) == (
        "there is no attention 'zzzzzz'. `foveal list` shows all that there are"
    )


@pytest.mark.parametrize("acronym", ["sa", "psa", "gct", "ca", "mca", "ema", "da", "ea", "SA"])
def test_acronym_with_several_meanings_is_refused_with_each(acronym):
    with pytest.raises(FovealError, match="means several mechanisms; say which") as raised:
        create_attention(acronym, 8)
    meanings = AMBIGUOUS[acronym.lower()]
    assert len(meanings) >= 2
    for key, meaning in meanings.items():
        absent = "" if key in list_attentions() else ", not in this version"
        assert f"{key} ({meaning}{absent})" in str(raised.value)


def test_no_acronym_with_several_meanings_is_registered():
    assert not set(AMBIGUOUS) & set(list_attentions())


@pytest.mark.parametrize("name", [None, 3, Gate])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(FovealError, match="is not the name of an attention"):
        create_attention(name, 8)


def test_listing():
    names = list_attentions()
    assert names == sorted(names)
    assert {"eca", "mhsa"} <= set(names)
    assert list_attentions("*eca*") == ["eca"]
    assert list_attentions("nothing-*") == []
    layouts = ("map", "tokens", "video")
    assert sorted(n for layout in layouts for n in list_attentions(layout=layout)) == names
    assert "mhsa" in list_attentions(layout="tokens")
    families = {attention_info(name).family for name in names}
    assert sorted(n for f in families for n in list_attentions(family=f)) == names
    assert "eca" in list_attentions(family="channel", layout="map")


def test_listing_refuses_a_wrong_family_or_layout():
    with pytest.raises(FovealError, match="no family 'chanel'; did you mean channel"):
        list_attentions(family="chanel")
    with pytest.raises(FovealError, match="layout='nchw' must be 'map' or 'tokens'"):
        list_attentions(layout="nchw")


# building ----------------------------------------------------------------------------------------


def test_unknown_option_is_refused_with_the_near_and_all_that_there_are():
    with pytest.raises(FovealError, match=r"eca has no option 'kernelsize'; did you mean kernel_s"):
        create_attention("eca", 8, kernelsize=3)
    register(Mixer)
    with pytest.raises(FovealError, match=r"gate has no option 'depth'\. Its options: none"):
        create_attention("gate", 8, depth=3)


@pytest.mark.parametrize("channels", [0, -4, 2.0, "64", True, None])
def test_channels_that_are_no_positive_whole_number(channels):
    with pytest.raises(FovealError, match="must be a positive whole number"):
        create_attention("eca", channels)
    with pytest.raises(FovealError, match="eca: channels="):
        attention_info("eca").cls(channels)


def test_options_arrive():
    register(Gate)
    module = create_attention("gate", 8, width=3)
    assert (module.channels, module.width) == (8, 3)


# registering -------------------------------------------------------------------------------------


def test_class_stays_an_ordinary_module():
    register(Gate)
    module = create_attention("gate", 4)
    assert isinstance(module, Gate)
    assert list(module.state_dict()) == ["scale"]
    assert torch.equal(copy.deepcopy(module)(torch.ones(1, 4, 2, 2)), torch.ones(1, 4, 2, 2))


def test_registered_module_survives_pickle():
    module = create_attention("eca", 8)
    x = torch.rand(1, 8, 2, 2)
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), module(x))


def test_name_that_is_taken_is_refused_and_stays_whose_it_was():
    with pytest.raises(FovealError, match=r"cannot register 'eca': foveal\.attention.*ECA has tha"):
        register(Gate, "eca")
    assert attention_info("eca").cls.__name__ == "ECA"


def test_same_class_may_come_again():
    """As when a notebook's cell is run twice."""
    register(Gate)
    again = register(Gate)
    assert attention_info("gate").cls is again


def test_acronym_with_several_meanings_cannot_be_registered():
    with pytest.raises(FovealError, match="cannot register 'sa': 'sa' means several"):
        register(Gate, "sa")


@pytest.mark.parametrize("name", ["Gate", "my gate", "", "3d", "gate-2"])
def test_name_that_is_not_lower_case_words(name):
    with pytest.raises(FovealError, match="must be lower-case letters, digits and underscores"):
        register(Gate, name)


def test_family_must_be_said_outside_our_folders():
    with pytest.raises(FovealError, match="give family="):
        register(Gate, family=None)


def test_family_is_the_folder():
    assert attention_info("eca").family == "channel"
    assert attention_info("mhsa").family == "self_attention"


def test_forward_must_say_its_layout():
    class Silent(nn.Module):
        def __init__(self, channels: int):
            super().__init__()

        def forward(self, x):
            return x

    with pytest.raises(TypeError, match=r"Silent\.forward must annotate its input as Map or Tok"):
        register_attention("silent", paper="Somebody, 2020", family="channel")(Silent)
    assert "silent" not in list_attentions()


def test_layout_is_read_from_annotations_that_are_text():
    class Later(nn.Module):
        def forward(self, x: "Map") -> "Map":
            return x

    assert registry.layout_of(Later) == "map"


# inputs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.rand(8, 4, 4), r"takes a map \(B, C, H, W\), got shape \(8, 4, 4\); foveal\.OnTok"),
        (torch.rand(4, 4), r"takes a map \(B, C, H, W\), got shape \(4, 4\)$"),
        (torch.zeros(1, 8, 4, 4).long(), r"got torch\.int64; use x\.float\(\)"),
        (torch.rand(1, 4, 4, 8), r"was built for 8 channels, got 4 in a map"),
    ],
)
def test_wrong_map(x, message):
    with pytest.raises(FovealError, match=message):
        create_attention("eca", 8)(x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.rand(1, 8, 4, 4), r"takes tokens \(B, N, C\).*foveal\.OnMap"),
        (torch.rand(1, 4, 9), r"was built for 8 channels, got 9 in tokens"),
    ],
)
def test_wrong_tokens(x, message):
    with pytest.raises(FovealError, match=message):
        create_attention("mhsa", 8)(x)


def test_what_is_no_tensor():
    with pytest.raises(TypeError, match=r"eca takes a map .* not a list"):
        create_attention("eca", 8)([1.0])


def test_forward_that_is_inherited_is_checked_too():
    register(Gate)
    with pytest.raises(FovealError, match="gate was built for 8 channels"):
        create_attention("gate", 8)(torch.rand(1, 1, 4, 4))


def test_class_built_on_a_registered_one_speaks_with_its_own_name():
    wide = type("Wide", (attention_info("eca").cls,), {"__module__": __name__})
    register_attention("wide", paper="Somebody, 2020", family="channel")(wide)
    with pytest.raises(FovealError, match="wide was built for 8 channels"):
        create_attention("wide", 8)(torch.rand(1, 1, 4, 4))
    with pytest.raises(FovealError, match="eca was built for 8 channels"):
        create_attention("eca", 8)(torch.rand(1, 1, 4, 4))


def test_forward_with_a_decorator_of_its_own_is_checked_too():
    def noted(forward):
        @functools.wraps(forward)
        def inner(self, x: Map) -> Map:
            return forward(self, x)

        return inner

    class Noted(nn.Module):
        def __init__(self, channels: int):
            super().__init__()

        @noted
        def forward(self, x: Map) -> Map:
            return x

    register_attention("noted", paper="Somebody, 2020", family="channel")(Noted)
    with pytest.raises(FovealError, match="noted was built for 8 channels"):
        create_attention("noted", 8)(torch.rand(1, 1, 4, 4))


# plug-ins ----------------------------------------------------------------------------------------


@pytest.fixture
def plugins(monkeypatch):
    """Offer entry points, as installed packages do, and have them looked for again."""

    def offer(*values: str) -> None:
        entries = [EntryPoint(f"plugin{i}", v, "foveal.attention") for i, v in enumerate(values)]
        monkeypatch.setattr(registry, "entry_points", lambda group: entries)
        monkeypatch.setattr(registry, "_plugins_loaded", False)

    return offer


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('half written')", "RuntimeError: half written"),
        ("import no_such_library", "No module named 'no_such_library'"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_broken_plugin_is_a_warning(plugins, tmp_path, monkeypatch, source, reason):
    module = f"plugin_{abs(hash(source))}"
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    plugins(module)
    with pytest.warns(
        UserWarning, match=f"plug-in plugin0 .{module}. could not be loaded.*{reason}"
    ):
        assert "eca" in list_attentions()


def test_plugin_that_takes_a_name_of_ours(plugins, tmp_path, monkeypatch):
    (tmp_path / "greedy_plugin.py").write_text(
        "from foveal import Map, register_attention\n"
        "from torch import nn\n"
        "@register_attention('eca', paper='Mine, 2026', family='channel')\n"
        "class Mine(nn.Module):\n"
        "    def forward(self, x: Map) -> Map:\n"
        "        return x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plugins("greedy_plugin")
    with pytest.warns(UserWarning, match="ECA has that name already"):
        assert attention_info("eca").cls.__name__ == "ECA"


def test_plugins_are_loaded_once(plugins, tmp_path, monkeypatch):
    (tmp_path / "counted_plugin.py").write_text("raise RuntimeError('again')")
    monkeypatch.syspath_prepend(tmp_path)
    plugins("counted_plugin")
    with pytest.warns(UserWarning, match="again"):
        list_attentions()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list_attentions()


def test_forward_keeps_what_its_caller_gives_besides():
    class Extra(nn.Module):
        def __init__(self, channels: int):
            super().__init__()

        def forward(self, x: Map, scale: float = 1.0) -> Tensor:
            return x * scale

    register_attention("extra", paper="Somebody, 2020", family="channel")(Extra)
    x = torch.rand(1, 2, 3, 3)
    assert torch.equal(create_attention("extra", 2)(x, scale=2.0), 2 * x)
