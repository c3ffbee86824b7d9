import pytest
import torch
from small_training import DATA, classifier, train
from torch import nn

from foveal.mix.mixture import Mix
from foveal.train.watch import WatchWeights

OF_IMAGES = "sum(se | eca > simam, weights=dynamic(per=position))"
OF_ALL = "mean(eca | simam, weights=learned)"


def watched(notation: str, epochs: int = 2):
    module = classifier(notation)
    (mix,) = (m for m in module.modules() if isinstance(m, Mix))
    watch = WatchWeights({"3": mix}, 10)
    train(module, [watch], epochs)
    return module, mix, watch.records()


def test_every_test_is_noted_with_the_means_of_its_pictures():
    module, mix, (inner, outer) = watched(f"({OF_IMAGES}) > {OF_ALL}")
    assert (inner["place"], inner["node"], outer["node"]) == ("3", OF_IMAGES, OF_ALL)
    assert (inner["branches"], outer["branches"]) == (["se", "eca > simam"], ["eca", "simam"])
    assert [len(inner["epochs"]), len(outer["epochs"])] == [2, 2]
    pictures, labels = DATA.test.__getitems__(range(len(DATA.test)))
    before = nn.Sequential(*[*module.model.children()][:2])
    with torch.no_grad():  # what the last test saw, once more
        weights = mix.eval().weights(before(pictures))
    means = weights[OF_IMAGES].flatten(2).mean(2)
    assert inner["epochs"][-1] == pytest.approx(means.mean(0).tolist(), abs=1e-4)
    assert inner["epochs"][-1] != pytest.approx([0.5, 0.5], abs=1e-3)
    for label in range(10):
        expected = means[labels == label]
        if len(expected):
            assert inner["classes"][label] == pytest.approx(expected.mean(0).tolist(), abs=1e-4)
        else:
            assert inner["classes"][label] is None
    assert outer["epochs"][-1] == pytest.approx(weights[OF_ALL].flatten().tolist(), abs=1e-4)
    assert outer["classes"] is None  # the same for every image


def test_what_runs_again_is_noted_again():
    _, _, records = watched(f"repeat({OF_IMAGES}, 2, shared=true)", epochs=1)
    assert [record["node"] for record in records] == [OF_IMAGES, f"{OF_IMAGES} (2)"]
    assert all(len(record["epochs"]) == 1 for record in records)


def test_a_mix_that_weighs_nothing_leaves_nothing():
    assert watched("eca > (se | simam)", epochs=1)[2] == []


def test_no_hook_is_left():
    _, mix, _ = watched(OF_IMAGES, epochs=1)
    assert not any(part._forward_hooks for part in mix.modules())


def test_watching_changes_no_training():
    plain = classifier(OF_IMAGES)
    train(plain, [], 2)
    module, _, _ = watched(OF_IMAGES)
    theirs = module.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in plain.state_dict().items())
