"""A short run of the trial by kill -9; the long one is `python -m tests.trials.kill --kills 200`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trials.kill import problems, trial


@pytest.mark.slow
def test_a_worker_that_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    report = trial(tmp_path, n_mentions=1500, n_kills=8, seed=20261126, longest_s=3.0)
    assert problems(report) == [], report
