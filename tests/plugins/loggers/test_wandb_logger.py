"""Offline runs, read back by W&B's own reader of the files that ``wandb sync`` would send."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from core_engine_loggers.config import Wandb

from core_engine import Logger, Record
from core_engine.errors import OutputError, PluginError, TrainingError

BuildLogger = Callable[..., Logger]


def records(folder: Path, kind: str) -> list[Any]:
    """What a W&B run's file holds of a kind of record."""
    (file,) = folder.glob("*.wandb")
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [line[kind] for line in lines if line["type"] == kind]


def history(folder: Path) -> list[dict[str, Any]]:
    """Its rows, without W&B's own columns."""
    items = [record["item"] for record in records(folder, "history")]
    return [{name: value for name, value in item.items() if name[0] != "_"} for item in items]


def folders(run_dir: Path) -> list[Path]:
    return sorted((run_dir / "wandb").glob("offline-run-*"), key=lambda path: path.stat().st_mtime_ns)


def test_an_offline_run(build_logger: BuildLogger, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    recipe = {"seed": 0, "loss": [{"type": "cosine", "weight": 1e-05}], "lattice": {"size": [5, 2, 3]}}
    (tmp_path / "recipe.lock.yaml").write_text(yaml.safe_dump(recipe))
    logger = build_logger("wandb", mode="offline", project="mine", entity="us")
    logger.log(Record("train", 1, 0.5, {"loss": 0.25, "loss/cosine": math.nan}))
    logger.progress(2)
    logger.log(Record("evaluation", 2, 1.0, {"recall@1": 0.75, "größe": 2e-30}))
    logger.close()
    (folder,) = folders(tmp_path)
    assert history(folder) == [
        {"step": 1, "epoch": 0.5, "train/loss": 0.25, "train/loss/cosine": "NaN"},
        {"step": 2, "epoch": 1.0, "evaluation/recall@1": 0.75, "evaluation/größe": 2e-30},
    ]
    (run,) = records(folder, "run")
    assert (run["display_name"], run["project"], run["entity"]) == (tmp_path.name, "mine", "us")
    config = run["config"]["update"]
    assert {name: config[name] for name in recipe} == recipe
    (metric,) = records(folder, "metric")
    assert (metric["glob_name"], metric["step_metric"]) == ("*", "step")
    (ended,) = records(folder, "exit")
    assert ended.get("exit_code", 0) == 0


def test_a_resumed_run_goes_on_in_the_same_wandb_run(build_logger: BuildLogger, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    first = build_logger("wandb", mode="offline")
    for step in (1, 2, 3):
        first.log(Record("train", step, step / 2, {"loss": 1 / step}))
    first.close()
    second = build_logger("wandb", resumed_step=1, mode="offline")
    second.log(Record("train", 2, 1.0, {"loss": 0.125}))
    second.close()
    before, after = folders(tmp_path)
    ids = [records(folder, "run")[0]["run_id"] for folder in (before, after)]
    assert ids[0] == ids[1]
    assert [row["step"] for row in history(before)] == [1, 2, 3]
    assert history(after) == [{"step": 2, "epoch": 1.0, "train/loss": 0.125}]
    # Not a new one.
    build_logger("wandb", mode="offline").close()
    assert records(folders(tmp_path)[-1], "run")[0]["run_id"] != ids[0]


def test_a_resumed_run_that_wandb_does_not_know(build_logger: BuildLogger, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    build_logger("wandb", resumed_step=4, mode="offline").close()  # which had other loggers before
    assert len(folders(tmp_path)) == 1


def test_a_run_that_an_error_ends_has_failed(build_logger: BuildLogger, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    logger = build_logger("wandb", mode="offline")
    with pytest.raises(TrainingError):  # noqa: PT012
        try:
            raise TrainingError("x")
        finally:
            logger.close()
    (folder,) = folders(tmp_path)
    assert records(folder, "exit")[0]["exit_code"] == 1


def test_a_run_that_the_program_has_open_stays_as_it_is(build_logger: BuildLogger, tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    (tmp_path / "own").mkdir()
    with wandb.init(mode="offline", dir=tmp_path / "own", settings={"silent": True}) as own:
        logger = build_logger("wandb", mode="offline")
        logger.log(Record("train", 1, 0.5, {"loss": 0.25}))
        own.log({"mine": 1.0})
        logger.close()
        assert wandb.run is own
        own.log({"mine": 2.0})
    assert history(folders(tmp_path)[0]) == [{"step": 1, "epoch": 0.5, "train/loss": 0.25}]
    assert history(folders(tmp_path / "own")[0]) == [{"mine": 1.0}, {"mine": 2.0}]


def test_place_that_cannot_be_written(build_logger: BuildLogger, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    (tmp_path / "wandb").write_text("a file")
    with pytest.raises(OutputError, match=r"^logger wandb: .*Not a directory"):
        build_logger("wandb", mode="offline")


def in_a_process_of_its_own(run_dir: Path, options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """W&B reads the environment once. ``options`` of the logger, which logs one record there."""
    code = f"""
        import sys
        from pathlib import Path
        from core_engine import LoggerContext, Record
        from core_engine.errors import EngineError
        from core_engine.log import configure_logging
        from core_engine_loggers.config import Wandb
        configure_logging()
        try:
            logger = Wandb({options}).build(LoggerContext(Path(sys.argv[1]), "run", 2, None))
            logger.log(Record("train", 1, 0.5, {{"loss": 0.25}}))
            logger.close()
        except EngineError as error:
            sys.exit(str(error))
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(run_dir)],
        env=kept | {"NETRC": str(run_dir / "netrc")} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_mode_of_the_environment(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    done = in_a_process_of_its_own(tmp_path, "", WANDB_MODE="offline")
    assert (done.returncode, done.stdout) == (0, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    (folder,) = folders(tmp_path)
    assert str(folder) in done.stderr
    assert records(folder, "run")[0]["project"] == "core-engine"
    assert in_a_process_of_its_own(tmp_path, "", WANDB_MODE="disabled").returncode == 0
    assert len(folders(tmp_path)) == 1


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, "No API key"),
        ({"WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_INIT_TIMEOUT": "3"}, "refused"),
    ],
)
def test_a_server_that_cannot_be_used(environment: dict[str, str], reason: str, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    done = in_a_process_of_its_own(tmp_path, "mode='online'", **environment)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("logger wandb: ")
    assert reason in last
    assert "mode: offline" in last
    assert "Traceback" not in done.stderr


def test_nothing_is_reported_to_the_makers(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    code = "import core_engine_loggers.wandb; from wandb.env import error_reporting_enabled as on; assert not on()"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    subprocess.run([sys.executable, "-c", code], env=kept, cwd=tmp_path, check=True)


def test_without_wandb_the_extra_is_named(build_logger: BuildLogger, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "wandb"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "core_engine_loggers.wandb", raising=False)
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    assert [option for option, problem in Wandb().check() if "core-engine[wandb]" in problem] == ["type"]
    with pytest.raises(PluginError, match=r'pip install "core-engine\[wandb\]"'):
        build_logger("wandb")


def test_with_wandb_there_is_no_problem() -> None:
    pytest.importorskip("wandb")
    assert not list(Wandb().check())
