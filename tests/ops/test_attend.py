import pytest
import torch

from foveal.ops.attend import attend, attention_weights, bounded_queries


def by_hand(q, k, v, scale):
    """One query at a time, one exponential at a time."""
    rows = []
    for i in range(q.shape[0]):
        scores = [sum(q[i, d] * k[j, d] for d in range(q.shape[1])) * scale for j in range(len(k))]
        exponentials = [torch.exp(score) for score in scores]
        total = sum(exponentials)
        rows.append(sum(e / total * v[j] for j, e in enumerate(exponentials)))
    return torch.stack(rows)


@pytest.mark.parametrize(("narrow", "wide"), [(3, 3), (2, 5), (5, 2)])
@pytest.mark.parametrize("scale", [None, 1.0])
def test_is_the_sum_written_by_hand(narrow, wide, scale):
    torch.manual_seed(0)
    q, k = torch.randn(2, 4, narrow).double(), torch.randn(2, 6, narrow).double()
    v = torch.randn(2, 6, wide).double()
    used = narrow**-0.5 if scale is None else scale
    wanted = torch.stack([by_hand(q[b], k[b], v[b], used) for b in range(2)])
    torch.testing.assert_close(attend(q, k, v, scale=scale), wanted)
    weights = attention_weights(q, k, scale=scale)
    torch.testing.assert_close(weights @ v, wanted)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4).double())


@pytest.mark.parametrize("lead", [(3,), (3, 2)])
def test_bias_masks_and_shifts(lead):
    q, k, v = (torch.randn(*lead, 5, 4) for _ in range(3))
    bias = torch.randn(*lead, 5, 5)
    bias[..., 0] = -torch.inf
    weights = attention_weights(q, k, bias=bias)
    assert (weights[..., 0] == 0).all()
    torch.testing.assert_close(attend(q, k, v, bias=bias), weights @ v)


def test_half_precision_scores_do_not_overflow():
    q = torch.full((1, 2, 64), 100.0, dtype=torch.float16)  # products of 640,000
    weights = attention_weights(q, q, scale=-1.0)
    assert weights.dtype == torch.float16
    torch.testing.assert_close(weights, torch.full_like(weights, 0.5))


def test_queries_narrower_than_values_are_fused_all_the_same():
    """No tensor of N × M elements appears, whatever the widths."""
    from torch.utils._python_dispatch import TorchDispatchMode

    largest = 0

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            for t in result if isinstance(result, tuple | list) else [result]:
                if isinstance(t, torch.Tensor):
                    largest = max(largest, t.numel())
            return result

    q, k, v = torch.randn(1, 512, 4), torch.randn(1, 512, 4), torch.randn(1, 512, 16)
    with Sizes():
        attend(q, k, v)
    assert largest == 512 * 16


def test_bounded_queries_keep_the_gradients_of_huge_scores_finite():
    for seed in range(10):
        torch.manual_seed(seed)
        q, k, v = ((torch.randn(1, 2, 54, 32) * 1e4).requires_grad_() for _ in range(3))
        attend(bounded_queries(q, k), k, v).sum().backward()
        assert all(torch.isfinite(t.grad).all() for t in (q, k, v))
        wanted = attention_weights(q.double(), k.double()) @ v.double()
        close = (attend(bounded_queries(q, k), k, v) - wanted).abs().amax(-1) < 1
        assert close.float().mean() > 0.99  # the few that differ have two keys nearly alike


def test_bounded_queries_shrink_one_head_of_one_image_alone():
    q, k = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 7, 4)
    q[1, 2] *= 1e8
    bounded = bounded_queries(q, k)
    assert torch.equal(bounded[0], q[0])
    assert torch.equal(bounded[1, :2], q[1, :2])
    assert (bounded[1, 2] @ k[1, 2].mT).abs().max() < 2**20


@pytest.mark.parametrize("lead", [(3,), (3, 2)])
@pytest.mark.parametrize("broadcast", [False, True])
def test_a_learned_bias_changes_no_gradient(lead, broadcast):
    """On a CPU the weights are formed then, step by step."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(*lead, n, 4, dtype=torch.float64) for n in (5, 6, 6))
    bias = torch.randn(*(lead[1:] if broadcast else lead), 5, 6, dtype=torch.float64)
    bias[..., 0] = -torch.inf
    given = [t.requires_grad_() for t in (q, k, v, bias)]
    found = attend(q, k, v, bias=bias, scale=0.7)
    wanted = attention_weights(q, k, bias=bias, scale=0.7) @ v
    torch.testing.assert_close(found, wanted)
    pull = torch.randn_like(found)
    for one, other in zip(
        torch.autograd.grad(found, given, pull),
        torch.autograd.grad(wanted, given, pull),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_a_learned_bias_that_masks_a_whole_row_gives_nothing():
    q, k, v = (torch.randn(2, 5, 4) for _ in range(3))
    bias = torch.full((5, 5), -torch.inf).requires_grad_()
    assert attend(q, k, v, bias=bias).eq(0).all()


def test_dropout_with_a_learned_bias():
    q, k, v = torch.randn(1, 50, 4), torch.randn(1, 50, 4), torch.ones(1, 50, 4)
    bias = torch.zeros(50, 50, requires_grad=True)
    kept = attend(q, k, v, bias=bias, dropout=0.5)
    assert kept.std() > 0.01
    assert abs(kept.mean().item() - 1) < 0.2
