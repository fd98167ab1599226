"""What becomes of a trial that cannot be trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core_engine.errors import DataError
from core_engine.host.host import PluginHost
from core_engine.sweep import trials
from core_engine.sweep.plan import Plan
from core_engine.sweep.trials import run_trials


class Broken:
    """In place of the engine."""

    error: Exception

    @classmethod
    def from_loaded(cls, recipe: Any, host: PluginHost) -> Any:
        raise cls.error


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> type[Broken]:
    monkeypatch.setattr(trials, "Engine", Broken)
    return Broken


@pytest.mark.parametrize("error", [DataError("no rows"), torch.cuda.OutOfMemoryError("tried to allocate")])
def test_it_is_kept_with_its_reason(
    plan_of: Callable[..., Plan], host: PluginHost, tmp_path: Path, broken: type[Broken], error: Exception
) -> None:
    broken.error = error
    report = run_trials(tmp_path, plan_of("seed=1,2"), host, lambda: False)
    assert [(one.state, one.error) for one in report.outcomes] == [("failed", str(error))] * 2
    assert report.complete
    assert report.winner is None


def test_a_defect_is_no_failed_trial(
    plan_of: Callable[..., Plan], host: PluginHost, tmp_path: Path, broken: type[Broken]
) -> None:
    """It would be the same in every trial, and the sweep is gone on with when it is mended."""
    plan = plan_of("seed=1,2")
    broken.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        run_trials(tmp_path, plan, host, lambda: False)
    broken.error = DataError("no rows")
    assert [one.number for one in run_trials(tmp_path, plan, host, lambda: False).outcomes] == [0, 1]


def test_a_sweep_that_is_asked_to_stop_begins_no_trial(
    plan_of: Callable[..., Plan], host: PluginHost, tmp_path: Path, broken: type[Broken]
) -> None:
    report = run_trials(tmp_path, plan_of("seed=1,2"), host, lambda: True)
    assert report.outcomes == []
    assert not report.complete
