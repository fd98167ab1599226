"""The loggers of tracking services and the trace in a real run that is stopped and goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core_engine import Engine

ROOT = Path(__file__).parents[3]

STOPPED, ENDED = 12, 20  # steps, of which an epoch has five


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("mlflow", "wandb"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("runs")
    content = {
        "extends": str(ROOT / "configs/quickstart.yaml"),
        "output": str(folder / "runs"),
        "evaluation": {"baselines": []},
        "train": {"max_steps": ENDED},
        "loggers": [
            {"type": "jsonl"},
            {"type": "mlflow"},
            {"type": "wandb", "mode": "offline"},
            {"type": "trace", "skip": 1, "steps": 2},
        ],
    }
    recipe = folder / "logged.yaml"
    recipe.write_text(json.dumps(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        engine = Engine.from_recipe(recipe)
        assert engine.run(should_stop=lambda step: step == STOPPED) is None
        assert engine.run_dir is not None
        assert Engine.from_recipe(recipe).run(resume=engine.run_dir) is not None
    return engine.run_dir


@pytest.fixture(scope="module")
def rows(run_dir: Path) -> list[dict[str, Any]]:
    """What the run logged, by the logger ``jsonl``."""
    found = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in found if row["kind"] == "evaluation"] == [5, 10, 15, 20]
    return found


def test_mlflow_has_every_figure_in_one_run(run_dir: Path, rows: list[dict[str, Any]]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient((run_dir / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("core-engine")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == (run_dir.name, "FINISHED")
    assert run.data.params["loss.0.type"] == "info_nce"
    assert run.data.params["lattice.size"] == "[4, 2, 2]"
    logged = {
        (name, metric.step): metric.value
        for name in run.data.metrics
        for metric in client.get_metric_history(run.info.run_id, name)
    }
    expected = {
        (f"{row['kind']}/{name}".replace("@", "_at_"), row["step"]): value
        for row in rows
        for name, value in row.items()
        if name not in ("kind", "step", "epoch")
    }
    assert logged == pytest.approx(expected, nan_ok=True)


def test_wandb_has_every_figure_in_one_run(run_dir: Path, rows: list[dict[str, Any]]) -> None:
    inspect = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json"]
    ids, logged = set(), {}
    for folder in (run_dir / "wandb").glob("offline-run-*"):
        done = subprocess.run([*inspect, folder], capture_output=True, text=True, check=True)
        for line in map(json.loads, done.stdout.splitlines()):
            if line["type"] == "run":
                ids.add(line["run"]["run_id"])
                assert line["run"]["config"]["update"]["lattice"]["size"] == [4, 2, 2]
            if line["type"] == "history":
                item = line["history"]["item"]
                logged.update({(name, item["step"]): value for name, value in item.items() if "/" in name})
    assert len(ids) == 1
    assert logged == {
        (f"{row['kind']}/{name}", row["step"]): pytest.approx(value)
        for row in rows
        for name, value in row.items()
        if name not in ("kind", "step", "epoch")
    }


def test_the_trace_shows_the_steps(run_dir: Path) -> None:
    events = json.loads((run_dir / "trace.json").read_text())["traceEvents"]
    names = {event["name"] for event in events}
    assert any(name.startswith("Optimizer.step") for name in names)


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"extends: {ROOT / 'configs/quickstart.yaml'}\n"
        'loggers: [{type: mlflow, tracking_uri: "http://127.0.0.1:9"}]\n'
    )
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    command = [Path(sys.executable).with_name("core-engine"), "run", recipe, "-q"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "logger mlflow at http://127.0.0.1:9" in line
    assert "refused" in line
