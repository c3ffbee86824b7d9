import torch
from torch import nn

from foveal.surgery.hosts import load_host
from foveal.train.data import load_data
from foveal.train.fit import Recipe, fit, reproducible
from foveal.train.order import SeededOrder, order_hash, weights_hash

DATA = load_data("digits", train_limit=130, test_limit=64)
RECIPE = Recipe(epochs=2, batch_size=32)


def host(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return load_host("builtin:small_cnn")


def test_the_same_training_gives_the_same_bits():
    first, second = host(), host()
    results = [fit(model, DATA, RECIPE, seed=3) for model in (first, second)]
    assert results[0] == results[1]
    assert weights_hash(first) == weights_hash(second)


def test_the_order_depends_on_the_seed_and_on_nothing_else():
    other = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(256, 10))
    orders = [fit(m, DATA, RECIPE, seed=s).order_hash for m, s in ((host(), 3), (other, 3))]
    assert orders[0] == orders[1] == order_hash(130, 3, epochs=2)
    assert fit(host(), DATA, RECIPE, seed=4).order_hash != orders[0]


def test_each_epoch_visits_every_picture_in_a_new_order():
    order = SeededOrder(50, seed=0)
    first, second = list(order), list(order)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second


def test_training_learns_and_is_recorded():
    data = load_data("digits", train_limit=600, test_limit=200)
    result = fit(host(), data, Recipe(epochs=5, batch_size=32), seed=0)
    losses = [entry["train_loss"] for entry in result.history]
    assert [entry["epoch"] for entry in result.history] == [1, 2, 3, 4, 5]
    assert losses[-1] < 0.8 * losses[0]
    assert result.metric == result.history[-1]["val_metric"] > 0.2  # chance is 0.1
    assert (result.metric * 200) % 1 == 0


def test_the_metric_is_the_accuracy_on_the_test_pictures():
    model = host()
    result = fit(model, DATA, RECIPE, seed=0)
    pictures, labels = DATA.test.__getitems__(range(64))
    with torch.no_grad():
        answers = model.eval()(pictures).argmax(1)
    assert result.metric == (answers == labels).sum().item() / 64


def test_a_last_single_picture_does_not_reach_batch_norm():
    data = load_data("digits", train_limit=33, test_limit=10)
    assert fit(host(), data, Recipe(epochs=1, batch_size=32), seed=0).history


def test_settings_of_the_process_come_back():
    torch.set_num_threads(2)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with reproducible():
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        torch.rand(3)
    assert torch.get_num_threads() == 2
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.rand(1), expected)


def test_frozen_parameters_stay_and_groups_have_their_own_rate():
    model = host()
    model.stem.requires_grad_(False)
    before = weights_hash(model.stem, {"0.weight"})
    head = [*model.head.parameters()]
    rest = list(model.stages.parameters())
    groups = [{"params": rest}, {"params": head, "lr": 1e-12}]
    kept = model.head.weight.clone()
    fit(model, DATA, RECIPE, seed=0, groups=groups)
    assert weights_hash(model.stem, {"0.weight"}) == before
    assert torch.allclose(model.head.weight, kept, atol=1e-6)


def test_weights_hash_sees_one_bit():
    model = host()
    before = weights_hash(model)
    with torch.no_grad():
        model.head.bias[0] = torch.nextafter(model.head.bias[0], torch.tensor(9.0))
    assert weights_hash(model) != before
