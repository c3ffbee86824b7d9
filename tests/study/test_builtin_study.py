import time
from statistics import fmean

import pytest

from foveal.study.run import run_study


@pytest.mark.slow
def test_the_builtin_study_is_done_in_five_minutes_on_two_cores(tmp_path):
    start = time.monotonic()
    study = run_study(out=tmp_path / "digits", workers=2, progress=False)
    taken = time.monotonic() - start
    assert study.complete
    assert len(study.seeds) >= 10
    assert 0.75 < fmean(run.metric for run in study.runs_of("none")) < 0.84  # room on both sides
    assert taken < 300
