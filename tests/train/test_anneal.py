import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from lightning import Callback
from small_training import classifier, train

from foveal import FovealError
from foveal.mix.weigh import Weighting
from foveal.train.anneal import Anneal

MIX = "sum(se | eca, weights=learned) > mean(eca | simam, weights=dynamic)"


class Notes(Callback):
    """The temperatures at every step, and while testing."""

    def __init__(self):
        self.steps, self.tests = [], []

    def read(self, module):
        return {float(m.temperature) for m in module.modules() if isinstance(m, Weighting)}

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.steps.append(self.read(pl_module))

    def on_validation_end(self, trainer, pl_module):
        self.tests.append(self.read(pl_module))


def test_all_weightings_are_annealed_from_the_first_step_to_the_last():
    notes = Notes()
    train(classifier(MIX), [Anneal(8, 0.5), notes], epochs=2)
    steps = [t for (t,) in notes.steps]  # one temperature for both weightings
    assert len(steps) == 8
    assert steps[0] == 8
    assert steps[-1] == 0.5
    factors = [b / a for a, b in pairwise(steps)]
    assert factors == pytest.approx([(0.5 / 8) ** (1 / 7)] * 7, rel=1e-5)
    assert notes.tests == [{steps[3]}, {0.5}]


def test_a_training_of_one_step_has_the_last_temperature():
    notes = Notes()
    train(classifier(MIX), [Anneal(8, 2), notes], epochs=1, limit_train_batches=1)
    assert notes.steps == [{2.0}]


def test_a_resumed_training_is_annealed_as_one_that_was_not_interrupted(tmp_path):
    whole, resumed = classifier(MIX), classifier(MIX, seed=1)
    train(whole, [Anneal(5)], 3, tmp_path / "kept")
    notes = Notes()
    train(resumed, [Anneal(5), notes], 3, resume=tmp_path / "kept/0.ckpt")
    assert len(notes.steps) == 8
    assert max(notes.steps[0]) == pytest.approx(5 * (1 / 5) ** (4 / 11))
    assert notes.steps[-1] == {1.0}
    last = torch.load(tmp_path / "kept/2.ckpt", weights_only=False)["state_dict"]
    assert {k: v for k, v in last.items() if "temperature" in k} == {
        k: v for k, v in resumed.state_dict().items() if "temperature" in k
    }


def test_what_cannot_be_annealed_is_refused():
    with pytest.raises(FovealError, match="temperature=0 must be a positive"):
        Anneal(0)
    with pytest.raises(FovealError, match="no weighting"):
        train(classifier("se | eca"), [Anneal(5)], 1)
    endless = SimpleNamespace(estimated_stepping_batches=math.inf, global_step=0)
    with pytest.raises(FovealError, match="needs a last step"):
        Anneal(5).on_train_start(endless, classifier(MIX))  # pyright: ignore[reportArgumentType]
