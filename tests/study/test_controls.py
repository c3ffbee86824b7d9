from dataclasses import replace

import pytest
import torch
from torch import nn

from foveal import create_attention
from foveal.study.config import DataConfig, StudyConfig, TrainingConfig, VariantConfig
from foveal.study.controls import MatchedBlock, stir_and_freeze
from foveal.study.prepare import prepare
from foveal.study.variants import (
    attention_variant,
    baseline,
    build,
    control,
    mechanisms,
    study_data,
)

CONFIG = StudyConfig(
    "controls",
    [VariantConfig("cbam")],
    data=DataConfig(train_limit=64, test_limit=32),
    training=TrainingConfig(epochs=1, batch_size=32),
)
CBAM = attention_variant(CONFIG.variants[0])


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def built(variant, seed: int = 0):
    return build(CONFIG, variant, seed, study_data(CONFIG.data))


@pytest.mark.parametrize("channels", [8, 24, 64, 512])
@pytest.mark.parametrize("name", ["se", "cbam", "mhsa", "coord"])
def test_matched_block_is_of_about_the_same_size(name, channels):
    wanted = size(create_attention(name, channels))
    assert size(MatchedBlock(channels, wanted)) == pytest.approx(wanted, rel=0.05, abs=channels)


def test_a_tiny_mechanism_meets_the_smallest_block():
    assert size(MatchedBlock(64, 3)) == 2 * 64


def test_matched_block_sees_each_position_alone():
    block, x = MatchedBlock(8, 200), torch.rand(1, 8, 4, 4)
    changed = x.clone()
    changed[..., 0, 0] += 1
    difference = (block(x) - block(changed)).abs().sum(1)[0]
    assert difference[0, 0] > 0
    assert difference.flatten()[1:].max() == 0


def test_all_variants_begin_with_the_same_host():
    variants = [baseline(), CBAM, control(CBAM, "frozen"), control(CBAM, "matched")]
    hashes = {built(v).host_hash for v in variants}
    assert len(hashes) == 1
    assert built(CBAM, seed=1).host_hash not in hashes


def test_all_variants_compute_the_same_before_training():
    pictures = study_data(CONFIG.data).test.__getitems__([0, 1])[0]
    variants = [baseline(), CBAM, control(CBAM, "frozen"), control(CBAM, "matched")]
    with torch.no_grad():
        answers = [built(v).model.eval()(pictures) for v in variants]
    assert all(torch.equal(answers[0], a) for a in answers)


@pytest.mark.parametrize("name", ["cbam", "danet", "gc"])
def test_frozen_gates_are_silent_at_birth_and_matter_once_their_strength_has_grown(name):
    pictures = study_data(CONFIG.data).test.__getitems__([0, 1])[0]
    variant = attention_variant(VariantConfig(name, where="last_stage"))
    bare, frozen = built(baseline()).model.eval(), built(control(variant, "frozen")).model.eval()
    with torch.no_grad():
        assert torch.equal(bare(pictures), frozen(pictures))
    frozen(pictures).sum().backward()
    strength = next(p for key, p in frozen.named_parameters() if key.endswith("strength"))
    assert strength.grad is not None
    assert strength.grad.abs().item() > 0


def test_controls_stand_at_the_same_places():
    places = [built(v).places for v in (CBAM, control(CBAM, "frozen"), control(CBAM, "matched"))]
    assert places[0] == places[1] == places[2]
    assert len(places[0]) == 3


def test_frozen_gates_never_learn_but_their_strength_does():
    model = built(control(CBAM, "frozen")).model
    for mechanism in mechanisms(model).values():
        assert not any(p.requires_grad for p in mechanism.parameters())
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert sum("strength" in name for name in learning) == 3
    host = {name for name, _ in built(baseline()).model.named_parameters()}
    assert host < learning


def test_stirred_gates_are_no_identity():
    # a parameter born zero would make the frozen control the same as no attention
    mechanism = create_attention("danet", 16)
    x = torch.rand(2, 16, 8, 8)
    before = mechanism.eval()(x)
    stir_and_freeze(mechanism)
    assert not torch.allclose(mechanism(x), before, atol=1e-3)
    assert all(p.abs().sum() > 0 for p in mechanism.parameters())


def test_a_mechanism_without_parameters_has_no_such_controls():
    prepared = prepare(replace(CONFIG, variants=[VariantConfig("simam")]))
    assert [v.name for v in prepared.variants] == ["none", "simam"]
    assert len(prepared.notes) == 2
    assert "simam has no parameters" in prepared.notes[0]


def test_controls_may_be_refused():
    prepared = prepare(replace(CONFIG, without_controls=["frozen"]))
    assert [v.role for v in prepared.variants] == ["none", "attention", "matched"]


def test_a_control_of_another_size_is_told():
    prepared = prepare(replace(CONFIG, variants=[VariantConfig("eca", where="stages.2")]))
    assert any("eca-matched has 48 parameters" in note for note in prepared.notes)
