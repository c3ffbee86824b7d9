import time

import pytest
import torch
from torch import nn

from foveal.core.errors import FovealError
from foveal.measure import measure_latency
from foveal.measure.latency import median_interval


class Sleep(nn.Module):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds
        self.calls = []

    def forward(self, x):
        self.calls.append(time.perf_counter())
        time.sleep(self.seconds)
        return x


def test_ratio_of_known_times():
    found = measure_latency(Sleep(0.006), torch.rand(1), Sleep(0.002), seconds=0.3)
    assert found.ratio is not None
    assert found.ratio_interval is not None
    assert 5.9 < found.p50_ms <= found.p95_ms
    assert 1.9 < found.baseline_p50_ms <= found.baseline_p95_ms
    assert found.ratio_interval[0] <= found.ratio <= found.ratio_interval[1]
    assert 1.5 < found.ratio < 3.5


def test_the_two_take_turns():
    model, baseline = Sleep(0.001), Sleep(0.001)
    measure_latency(model, torch.rand(1), baseline, seconds=0.1)
    assert len(model.calls) == len(baseline.calls)
    # every pair of calls is done before the next pair starts
    ends = [max(pair) for pair in zip(model.calls, baseline.calls, strict=True)]
    starts = [min(pair) for pair in zip(model.calls, baseline.calls, strict=True)]
    assert all(end < start for end, start in zip(ends[:-1], starts[1:], strict=True))
    firsts = {m < b for m, b in zip(model.calls, baseline.calls, strict=True)}
    assert firsts == {True, False}


def test_warm_up_is_not_timed():
    class SlowStart(Sleep):
        def forward(self, x):
            self.seconds = 0.2 if not self.calls else 0.0
            return super().forward(x)

    assert measure_latency(SlowStart(0), torch.rand(1), seconds=0.05).p95_ms < 100


def test_without_a_baseline_there_is_no_ratio():
    found = measure_latency(nn.Identity(), torch.rand(1), seconds=0.01)
    assert found.ratio is None
    assert found.ratio_interval is None
    assert found.baseline_p50_ms is None
    assert found.rounds >= 10
    assert found.threads == torch.get_num_threads()


def test_interval_of_a_median():
    values = torch.cat((torch.full((50,), 1.0), torch.full((50,), 2.0))).double()
    assert median_interval(values) == (1.0, 2.0)
    assert median_interval(torch.full((20,), 1.5).double()) == (1.5, 1.5)


def test_refusals():
    with pytest.raises(FovealError, match="seconds=0"):
        measure_latency(nn.Identity(), torch.rand(1), seconds=0)
    with pytest.raises(FovealError, match="meta device"):
        measure_latency(nn.Identity(), torch.rand(1, device="meta"))


def test_models_stay_as_they_were():
    model, baseline = nn.BatchNorm1d(4), nn.BatchNorm1d(4).eval()
    measure_latency(model, torch.rand(3, 4), baseline, seconds=0.01)
    assert model.training
    assert not baseline.training
    assert model.num_batches_tracked == 0
