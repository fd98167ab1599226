from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from core_engine_loggers.config import TensorBoard

from core_engine import Logger, Record
from core_engine.errors import OutputError, PluginError

BuildLogger = Callable[..., Logger]


def read(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """Scalars as TensorBoard shows them."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_scalars_by_kind_and_name_before_closing(build_logger: BuildLogger, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    logger = build_logger("tensorboard")
    logger.log(Record("train", 1, 0.5, {"loss": 0.25}))
    logger.progress(2)
    logger.log(Record("train", 2, 1.0, {"loss": math.nan}))
    logger.log(Record("evaluation", 2, 1.0, {"recall@1": 0.75, "within_mrr": 0.5}))
    shown = read(tmp_path)
    assert shown.keys() == {"train/loss", "evaluation/recall@1", "evaluation/within_mrr"}
    assert shown["evaluation/recall@1"] == [(2, 0.75)]
    assert shown["train/loss"][0] == (1, 0.25)
    assert math.isnan(shown["train/loss"][1][1])
    logger.close()


@pytest.mark.parametrize(("resumed_step", "kept"), [(None, []), (2, [0, 1, 2])])
def test_later_run_hides_what_it_writes_again(
    resumed_step: int | None, kept: list[int], build_logger: BuildLogger, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    first = build_logger("tensorboard")
    for step in range(5):
        first.log(Record("train", step, 0, {"loss": 1.0}))
    first.close()
    second = build_logger("tensorboard", resumed_step)
    second.log(Record("train", 3, 0, {"loss": 2.0}))
    second.close()
    assert read(tmp_path)["train/loss"] == [*((step, 1.0) for step in kept), (3, 2.0)]


def test_place_that_cannot_be_written(build_logger: BuildLogger, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "tensorboard").write_text("a file")
    with pytest.raises(OutputError, match="tensorboard"):
        build_logger("tensorboard")


def test_without_tensorboard_the_extra_is_named(build_logger: BuildLogger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as if it were not installed
    for module in ("core_engine_loggers.tensorboard", "torch.utils.tensorboard"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert [option for option, problem in TensorBoard().check() if "core-engine[tensorboard]" in problem] == ["type"]
    with pytest.raises(PluginError, match=r'pip install "core-engine\[tensorboard\]"'):
        build_logger("tensorboard")


def test_with_tensorboard_there_is_no_problem() -> None:
    pytest.importorskip("tensorboard")
    assert not list(TensorBoard().check())
