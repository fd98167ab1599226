from __future__ import annotations

import math

import pytest

from core_engine.errors import TrainingError
from core_engine.recipe.training import EarlyStopping
from core_engine.training.stopping import Monitor, Progress


def run(metric: str, rules: EarlyStopping | None, values: list[float]) -> tuple[Progress, list[str | None]]:
    progress, monitor = Progress(), Monitor(metric, groups=True)
    return progress, [progress.update(monitor, rules, value, step) for step, value in enumerate(values, 1)]


def test_patience_counts_evaluations_without_enough_improvement() -> None:
    progress, reasons = run("mrr@10", EarlyStopping(patience=2, min_delta=0.1), [0.2, 0.25, 0.29, 0.35])
    assert reasons[:2] == [None, None]
    assert reasons[2] == "mrr@10 did not improve in 2 evaluations"
    assert progress.best_step == 4


def test_a_loss_is_better_when_lower() -> None:
    progress, reasons = run("loss", EarlyStopping(patience=1), [3.0, 2.0, 2.5])
    assert reasons == [None, None, "loss did not improve in 1 evaluations"]
    assert progress.best == 2.0


@pytest.mark.parametrize(
    ("metric", "rules", "values", "stops_at"),
    [
        ("recall@1", EarlyStopping(target=0.5), [0.3, 0.49, 0.5, 0.6], 3),
        ("loss", EarlyStopping(target=0.5), [0.9, 0.4], 2),
        ("mrr@10", EarlyStopping(convergence=0.01), [0.1, 0.3, 0.305], 3),
    ],
)
def test_target_and_convergence(metric: str, rules: EarlyStopping, values: list[float], stops_at: int) -> None:
    _, reasons = run(metric, rules, values)
    assert next(i for i, reason in enumerate(reasons, 1) if reason) == stops_at


def test_nan_is_never_best() -> None:
    progress, _ = run("mrr@10", None, [math.nan, 0.1, math.nan])
    assert progress.best_step == 2


@pytest.mark.parametrize(("metric", "groups"), [("accuracy", True), ("within_mrr", False), ("constant_cosine", True)])
def test_a_metric_that_will_not_exist_is_an_error_at_once(metric: str, groups: bool) -> None:
    with pytest.raises(TrainingError, match=r"train\.monitor.*choose one of"):
        Monitor(metric, groups)
