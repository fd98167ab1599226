"""Traces read back as Chrome's trace viewer and Perfetto read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.autograd.profiler import record_function
from torch.profiler import profile

from core_engine import Logger, Record
from core_engine.errors import OutputError, TrainingError

BuildLogger = Callable[..., Logger]


def train(logger: Logger, *steps: int) -> None:
    """Steps of training with a name each, after which the logger is told of them."""
    for step in steps:
        with record_function(f"step {step}"):
            torch.ones(4, 4, requires_grad=True).sum().backward()
        logger.progress(step)


def traced(run_dir: Path) -> list[int]:
    """The steps in a trace that is whole."""
    trace = json.loads((run_dir / "trace.json").read_text())
    events: list[dict[str, Any]] = trace["traceEvents"]
    named = sorted({str(event["name"]) for event in events if event.get("cat") == "user_annotation"})
    found = sorted(int(name.removeprefix("step ")) for name in named if name.startswith("step "))
    assert not found or "aten::sum" in {event["name"] for event in events}
    return found


def test_the_window(build_logger: BuildLogger, tmp_path: Path) -> None:
    logger = build_logger("trace", skip=2, steps=3)
    train(logger, 1, 2, 3, 4)
    assert not (tmp_path / "trace.json").exists()
    train(logger, 5)
    written = (tmp_path / "trace.json").stat()
    train(logger, 6, 7)
    logger.log(Record("train", 7, 1.0, {"loss": 1.0}))
    logger.close()
    assert traced(tmp_path) == [3, 4, 5]
    assert (tmp_path / "trace.json").stat() == written
    assert [path.name for path in tmp_path.iterdir()] == ["trace.json"]


def test_the_engine_tells_of_some_steps_only(build_logger: BuildLogger, tmp_path: Path) -> None:
    logger = build_logger("trace")
    for step in range(1, 60):
        with record_function(f"step {step}"):
            torch.ones(4).sum()
        if step % 9 == 0:
            logger.progress(step)
    logger.close()
    assert traced(tmp_path) == list(range(19, 28))


def test_a_run_that_ends_within_the_window(build_logger: BuildLogger, tmp_path: Path) -> None:
    logger = build_logger("trace", skip=1, steps=100)
    train(logger, 1, 2, 3)
    logger.close()
    assert traced(tmp_path) == [2, 3]


def test_a_run_that_ends_before_the_window(
    build_logger: BuildLogger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = build_logger("trace", skip=10)
    train(logger, 1, 9)
    logger.close()
    assert not list(tmp_path.iterdir())
    out, err = capsys.readouterr()
    assert "no trace" in out + err


def test_a_resumed_run_skips_steps_of_its_own(build_logger: BuildLogger, tmp_path: Path) -> None:
    logger = build_logger("trace", resumed_step=100, skip=2, steps=1)
    train(logger, 101, 102, 103, 104)
    logger.close()
    assert traced(tmp_path) == [103]


def test_no_profiler_is_at_work_outside_the_window(build_logger: BuildLogger) -> None:
    at_work = []
    logger = build_logger("trace", skip=2, steps=2)
    for step in range(1, 7):
        at_work.append(torch.autograd._profiler_enabled())
        logger.progress(step)
    logger.close()
    assert at_work == [False, False, True, True, False, False]
    assert not torch.autograd._profiler_enabled()


def test_another_profiler_is_at_work(build_logger: BuildLogger, tmp_path: Path) -> None:
    logger = build_logger("trace", skip=0)
    with profile() as other:
        with pytest.raises(TrainingError, match="another profiler"):
            train(logger, 1)
        logger.close()
    assert other.events()
    assert not (tmp_path / "trace.json").exists()


def test_place_that_cannot_be_written(build_logger: BuildLogger, tmp_path: Path) -> None:
    logger = build_logger("trace", skip=0, steps=1)
    train(logger, 1)
    (tmp_path / "trace.json").mkdir()
    with pytest.raises(OutputError, match=r"trace\.json: cannot be written"):
        train(logger, 2)
    logger.close()
    assert not torch.autograd._profiler_enabled()


def test_a_full_disk(build_logger: BuildLogger, tmp_path: Path) -> None:
    (tmp_path / "trace.json").write_text("of the run before")
    resource = pytest.importorskip("resource")
    logger = build_logger("trace", skip=0, steps=100)
    train(logger, *range(1, 50))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"trace\.json: cannot be written"):
            logger.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "trace.json").exists()
