import pytest
import torch
from small_training import DATA, classifier, train

from foveal import FovealError
from foveal.train.data import load_data
from foveal.train.feedback import GiveFeedback, accuracy_on, feedback_weightings

MIX = "sum(se | eca, weights=feedback(rate=0.5)) > mean(eca | simam, weights=feedback)"


def past(module):
    return [weighting.past() for weighting in feedback_weightings(module)]


def test_every_weighting_hears_the_metric_between_epochs():
    module = classifier(MIX)
    modes = []

    def judge(model):
        modes.append((model.training, torch.is_grad_enabled(), len(module.history)))
        return [0.4, 0.3, 0.9][len(modes) - 1]

    train(module, [GiveFeedback(judge)], epochs=4)
    assert modes == [(False, False, 1), (False, False, 2), (False, False, 3)]  # not after the last
    assert module.training
    first, second = past(module)
    for one in (first, second):
        assert [metric for metric, _ in one] == pytest.approx([0.4, 0.3, 0.9])
    assert first[0][1] == [0.5, 0.5]
    up = 0.6225  # a share of 1/2 after a step of 0.5 up
    assert first[1][1] == pytest.approx([up, 1 - up], abs=1e-4)
    weighting = feedback_weightings(module)[0]
    assert weighting.shares.tolist() != pytest.approx([0.5, 0.5])


def test_a_resumed_training_gives_what_an_uninterrupted_one_gives(tmp_path):
    def callback():
        return GiveFeedback(accuracy_on(DATA.feedback))

    whole, resumed = classifier(MIX), classifier(MIX, seed=1)
    train(whole, [callback()], 4, tmp_path / "kept")
    assert len(past(whole)[0]) == 3
    train(resumed, [callback()], 4, resume=tmp_path / "kept/1.ckpt")  # left after two epochs
    assert past(resumed) == past(whole)
    ours, theirs = resumed.state_dict(), whole.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_model_without_feedback_is_refused():
    with pytest.raises(FovealError, match="no feedback weighting"):
        train(classifier("mean(se | eca, weights=learned)"), [GiveFeedback(lambda m: 1.0)], 1)


def test_accuracy_is_counted_in_batches():
    module = classifier(MIX).eval()
    pictures, labels = DATA.feedback.__getitems__(range(len(DATA.feedback)))
    with torch.no_grad():
        right = (module(pictures).argmax(1) == labels).sum().item()
        assert accuracy_on(DATA.feedback, batch_size=5)(module) == right / len(labels)


def test_pictures_for_feedback_neither_train_nor_test():
    whole = load_data("digits", train_limit=160, test_limit=40)
    assert whole.feedback is None
    assert (len(DATA.train), len(DATA.feedback), len(DATA.test)) == (128, 32, 40)
    parts = [{p.numpy().tobytes() for p in part.__getitems__(range(len(part)))[0]}
             for part in (DATA.train, DATA.feedback, whole.train)]  # fmt: skip
    assert parts[0] | parts[1] == parts[2]
    assert not parts[0] & parts[1]
    again = load_data("digits", train_limit=160, test_limit=40, feedback_share=0.2)
    assert again.feedback.indices == DATA.feedback.indices
    with pytest.raises(FovealError, match="leaves none to train"):
        load_data("digits", train_limit=4, feedback_share=0.9)
