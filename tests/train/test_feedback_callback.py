import pytest
import torch
from small_training import DATA, classifier, train

from foveal import FovealError
from foveal.train.data import load_data
from foveal.train.feedback import GiveFeedback, confidence_on, feedback_weightings

MIX = "sum(se | eca, weights=feedback(rate=0.5)) > mean(eca | simam, weights=feedback)"


def past(module):
    return [weighting.past() for weighting in feedback_weightings(module)]


def test_every_weighting_hears_of_each_branch_alone_between_epochs():
    module = classifier(MIX)
    seen, modes = [], set()

    def judge(model):
        modes.add((model.training, torch.is_grad_enabled()))
        shares = [weighting.shares.tolist() for weighting in feedback_weightings(model)]
        seen.append((len(module.history), *shares))
        return 0.9 if shares[0] == [1, 0] else 0.5

    train(module, [GiveFeedback(judge)], epochs=3)
    assert modes == {(False, False)}
    assert module.training
    even, one, other = [0.5, 0.5], [1, 0], [0, 1]
    assert seen[:4] == [(1, one, even), (1, other, even), (1, even, one), (1, even, other)]
    assert [epochs for epochs, *_ in seen] == [1] * 4 + [2] * 4  # not after the last
    first, second = past(module)
    assert [metric for metric, _ in first] == pytest.approx([0.7, 0.7])
    assert [metric for metric, _ in second] == pytest.approx([0.5, 0.5])
    up = torch.tensor([0.5 * 0.4, 0]).softmax(0).tolist()  # rate times the difference
    assert [shares for _, shares in first] == [even, pytest.approx(up)]
    assert [shares for _, shares in second] == [even, pytest.approx(even)]
    shares = feedback_weightings(module)[0].shares
    assert shares.tolist() == pytest.approx(torch.tensor([0.5 * 0.8, 0]).softmax(0).tolist())


def test_a_resumed_training_gives_what_an_uninterrupted_one_gives(tmp_path):
    def callback():
        return GiveFeedback(confidence_on(DATA.feedback))

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


def test_confidence_is_the_mean_probability_of_the_right_class():
    module = classifier(MIX).eval()
    pictures, labels = DATA.feedback.__getitems__(range(len(DATA.feedback)))
    with torch.no_grad():
        right = [
            float(p[label]) for p, label in zip(module(pictures).softmax(1), labels, strict=True)
        ]
        judged = confidence_on(DATA.feedback, batch_size=5)(module)
    assert judged == pytest.approx(sum(right) / len(right), abs=1e-6)


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
