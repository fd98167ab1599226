"""metrics.jsonl and metrics.csv, read back as a user would read them."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core_engine import Logger, Record
from core_engine.errors import CheckpointError, OutputError, PluginError

FILES = {"jsonl": "metrics.jsonl", "csv": "metrics.csv"}
BuildLogger = Callable[..., Logger]


def no_constant(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")


def read(path: Path) -> list[tuple[str, int, float, str, float | None]]:
    """Either file as (kind, step, epoch, name, value)."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    if path.suffix == ".csv":
        rows = csv.DictReader(text.splitlines())
        return [(r["kind"], int(r["step"]), float(r["epoch"]), r["name"], float(r["value"])) for r in rows]
    found = []
    for line in text.splitlines():
        row = json.loads(line, parse_constant=no_constant)
        fixed = row.pop("kind"), row.pop("step"), row.pop("epoch")
        found += [(*fixed, name, value) for name, value in row.items()]
    return found


def steps(path: Path) -> list[int]:
    return [step for _, step, *_ in read(path)]


def record(step: int, **values: Any) -> Record:
    return Record("train", step, step / 10, values or {"loss": 1 / 3})


@pytest.fixture(params=FILES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def path(name: str, tmp_path: Path) -> Path:
    return tmp_path / FILES[name]


def test_values_are_written_whole_and_at_once(name: str, path: Path, build_logger: BuildLogger) -> None:
    logger = build_logger(name)
    logger.log(Record("train", 3, 0.25, {"loss": 1 / 3, "part, one": 2e-30}))
    logger.progress(4)
    logger.log(Record("evaluation", 5, 1.0, {"recall@1": 0.5, "größe": 1.0}))
    # Read before it is closed: a run that is killed must leave what it has logged.
    assert read(path) == [
        ("train", 3, 0.25, "loss", 1 / 3),
        ("train", 3, 0.25, "part, one", 2e-30),
        ("evaluation", 5, 1.0, "recall@1", 0.5),
        ("evaluation", 5, 1.0, "größe", 1.0),
    ]
    logger.close()


def test_values_that_json_lacks(build_logger: BuildLogger, tmp_path: Path) -> None:
    values = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.0}
    for name in FILES:
        logger = build_logger(name)
        logger.log(record(1, **values))
        logger.close()
    assert [value for *_, value in read(tmp_path / "metrics.jsonl")] == [None, None, None, 1.0]
    in_csv = [value for *_, value in read(tmp_path / "metrics.csv")]
    assert in_csv == pytest.approx(list(values.values()), nan_ok=True)


def test_new_run_keeps_nothing(name: str, path: Path, build_logger: BuildLogger) -> None:
    for step in (0, 7):
        logger = build_logger(name)
        logger.log(record(step))
        logger.close()
    assert steps(path) == [7]


@pytest.mark.parametrize("resumed_step", [0, 2, 9])
def test_resumed_run_drops_what_it_will_write_again(
    resumed_step: int, name: str, path: Path, build_logger: BuildLogger
) -> None:
    logger = build_logger(name)
    for step in range(6):
        logger.log(record(step, loss=0.1 * step, part=1.0))
    before = path.read_bytes()
    # The first run is not closed: it was killed.
    resumed = build_logger(name, resumed_step)
    kept = min(resumed_step, 5)
    assert steps(path) == [step for step in range(kept + 1) for _ in range(2)]
    assert before.startswith(path.read_bytes())
    resumed.log(record(resumed_step + 1))
    assert steps(path)[-1] == resumed_step + 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    resumed.close()
    logger.close()


def test_every_way_to_tear_the_last_line(name: str, path: Path, build_logger: BuildLogger) -> None:
    logger = build_logger(name)
    empty = path.read_bytes()
    logger.log(record(1, loss=0.5))
    logger.log(Record("evaluation", 2, 0.2, {"größe": 0.125}))
    logger.close()
    data = path.read_bytes()
    for end in range(len(data)):
        torn = data[:end]
        path.write_bytes(torn)
        build_logger(name, resumed_step=2).close()
        assert path.read_bytes() == max(empty, torn[: torn.rfind(b"\n") + 1], key=len), torn


def test_resumed_run_without_a_file_begins_one(name: str, path: Path, build_logger: BuildLogger) -> None:
    logger = build_logger(name, resumed_step=4)
    logger.log(record(5))
    logger.close()
    assert steps(path) == [5]


@pytest.mark.parametrize(
    "damage", [b"not a record\n", b"[1]\n", b"{}\n", b"\n", b"train,one,0,loss,1\n", b"\xff\xfe\n"]
)
def test_damage_is_named_and_nothing_is_lost(damage: bytes, name: str, path: Path, build_logger: BuildLogger) -> None:
    logger = build_logger(name)
    logger.log(record(1))
    logger.close()
    line = path.read_bytes().count(b"\n") + 1
    with path.open("ab") as file:
        file.write(damage)
    damaged = path.read_bytes()
    with pytest.raises(CheckpointError, match=rf"{path.name}:{line}: "):
        build_logger(name, resumed_step=1)
    assert path.read_bytes() == damaged
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_csv_of_other_columns_is_refused(build_logger: BuildLogger, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss\n1,2\n")
    with pytest.raises(CheckpointError, match=r"metrics.csv:1: .*header"):
        build_logger("csv", resumed_step=1)


@pytest.mark.parametrize("key", ["kind", "step", "epoch"])
def test_json_value_cannot_hide_the_records_own_keys(key: str, build_logger: BuildLogger) -> None:
    logger = build_logger("jsonl")
    with pytest.raises(PluginError, match=repr(key)):
        logger.log(Record("train", 1, 0.5, {key: 2.0}))
    logger.close()


def test_place_that_cannot_be_written(name: str, path: Path, build_logger: BuildLogger) -> None:
    path.mkdir()
    with pytest.raises(OutputError, match=path.name):
        build_logger(name)
    with pytest.raises(OutputError, match=path.name):
        build_logger(name, resumed_step=1)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_full_disk_is_an_error_that_names_the_file(name: str, path: Path, build_logger: BuildLogger) -> None:
    resource = pytest.importorskip("resource")
    logger = build_logger(name)
    logger.log(record(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))
    try:
        with pytest.raises(OutputError, match=path.name):
            logger.log(record(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    logger.close()
    assert steps(path) == [1, 2]
