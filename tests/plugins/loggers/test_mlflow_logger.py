"""Runs read back by MLflow's own client."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from core_engine_loggers.config import MLflow

from core_engine import Logger, Record
from core_engine.errors import OutputError, PluginError, TrainingError
from core_engine.log import configure_logging

BuildLogger = Callable[..., Logger]
LOCK = {"seed": 0, "loss": [{"type": "cosine", "weight": 1.0}], "lattice": {"size": [5, 2, 3]}, "sampler": None}


@pytest.fixture(autouse=True)
def _no_setting_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def client(folder: Path) -> Any:
    return pytest.importorskip("mlflow").MlflowClient(folder.as_uri())


def runs(folder: Path, experiment: str = "core-engine") -> list[Any]:
    found = client(folder).get_experiment_by_name(experiment)
    return list(client(folder).search_runs([found.experiment_id])) if found is not None else []


def history(folder: Path, name: str) -> list[tuple[int, float]]:
    (run,) = runs(folder)
    return [(m.step, m.value) for m in client(folder).get_metric_history(run.info.run_id, name)]


def test_metrics_are_there_before_closing(build_logger: BuildLogger, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    logger = build_logger("mlflow")
    logger.log(Record("train", 1, 0.5, {"loss": 0.25, "loss/cosine": 0.5}))
    logger.progress(2)
    logger.log(Record("train", 2, 1.0, {"loss": math.nan}))
    logger.log(Record("evaluation", 2, 1.0, {"recall@1": 0.75, "größe": 2e-30, "odd:{}": 1.0}))
    (run,) = runs(tmp_path / "mlruns")
    assert (run.info.run_name, run.info.status) == (tmp_path.name, "RUNNING")
    assert run.data.metrics.keys() == {
        *("train/loss", "train/loss.cosine"),
        *("evaluation/recall_at_1", "evaluation/größe", "evaluation/odd___"),
    }
    assert run.data.metrics["evaluation/größe"] == 2e-30
    (first, second) = history(tmp_path / "mlruns", "train/loss")
    assert first == (1, 0.25)
    assert second[0] == 2
    assert math.isnan(second[1])
    logger.close()
    (run,) = runs(tmp_path / "mlruns")
    assert run.info.status == "FINISHED"
    assert run.info.end_time >= run.info.start_time


def test_the_locked_recipe_is_parameters_and_artifact(build_logger: BuildLogger, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    lock = tmp_path / "recipe.lock.yaml"
    lock.write_text(yaml.safe_dump(LOCK | {"teachers": {f"t@{i}": {"model": "x" * 7000} for i in range(120)}}))
    build_logger("mlflow").close()
    (run,) = runs(tmp_path / "mlruns")
    params = run.data.params
    assert {name: params[name] for name in params if not name.startswith("teachers")} == {
        "seed": "0",
        "loss.0.type": "cosine",
        "loss.0.weight": "1.0",
        "lattice.size": "[5, 2, 3]",
        "sampler": "None",
    }
    assert len(params) == 5 + 120
    assert params["teachers.t_at_7.model"].startswith("x" * 500)
    kept = client(tmp_path / "mlruns").download_artifacts(run.info.run_id, lock.name)
    assert Path(kept).read_bytes() == lock.read_bytes()


def test_a_resumed_run_goes_on_in_the_same_mlflow_run(build_logger: BuildLogger, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    (tmp_path / "recipe.lock.yaml").write_text(yaml.safe_dump(LOCK))
    first = build_logger("mlflow")
    first.log(Record("train", 1, 0.5, {"loss": 0.5}))
    first.close()
    # What may change on the way.
    (tmp_path / "recipe.lock.yaml").write_text(yaml.safe_dump(LOCK | {"device": "cpu"}))
    second = build_logger("mlflow", resumed_step=1)
    (run,) = runs(tmp_path / "mlruns")
    assert run.info.status == "RUNNING"
    second.log(Record("train", 2, 1.0, {"loss": 0.25}))
    second.close()
    assert history(tmp_path / "mlruns", "train/loss") == [(1, 0.5), (2, 0.25)]
    (run,) = runs(tmp_path / "mlruns")
    assert run.info.status == "FINISHED"
    # Not a new one.
    build_logger("mlflow").close()
    assert len(runs(tmp_path / "mlruns")) == 2


def test_a_resumed_run_that_mlflow_does_not_know(build_logger: BuildLogger, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    build_logger("mlflow", resumed_step=1).close()  # which had other loggers before
    assert len(runs(tmp_path / "mlruns")) == 1
    (tmp_path / "mlflow_run_id.txt").write_text("0123456789abcdef0123456789abcdef\n")
    with pytest.raises(OutputError, match=r"0123456789abcdef' not found.*without .*mlflow_run_id.txt"):
        build_logger("mlflow", resumed_step=1)


def test_a_run_that_an_error_ends_has_failed(build_logger: BuildLogger, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")

    def run_with(error: Exception | None) -> str:
        logger = build_logger("mlflow")
        try:
            if error:
                raise error
        except TrainingError:
            logger.close()
        else:
            logger.close()
        return str(runs(tmp_path / "mlruns")[0].info.status)

    assert run_with(TrainingError("x")) == "FAILED"
    try:
        raise ValueError("a program that tries again")
    except ValueError:
        assert run_with(None) == "FINISHED"
        assert run_with(TrainingError("x")) == "FAILED"


def test_the_place_of_the_environment_and_of_the_recipe(
    build_logger: BuildLogger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "environment").as_uri())
    build_logger("mlflow").close()
    assert len(runs(tmp_path / "environment")) == 1
    build_logger("mlflow", tracking_uri=(tmp_path / "recipe").as_uri(), experiment="mine").close()
    build_logger("mlflow", tracking_uri=(tmp_path / "recipe").as_uri(), experiment="mine").close()
    assert len(runs(tmp_path / "recipe", "mine")) == 2
    assert len(runs(tmp_path / "environment")) == 1
    assert not (tmp_path / "mlruns").exists()


def test_a_run_that_the_program_has_open_stays_as_it_is(build_logger: BuildLogger, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    build_logger("mlflow").close()  # a folder as store is allowed from now on
    own = (tmp_path / "own").as_uri()
    mlflow.set_tracking_uri(own)
    try:
        with mlflow.start_run() as active:
            logger = build_logger("mlflow", tracking_uri=(tmp_path / "other").as_uri())
            logger.log(Record("train", 1, 0.5, {"loss": 0.5}))
            logger.close()
            assert mlflow.active_run() is active
            assert mlflow.get_tracking_uri() == own
            mlflow.log_metric("mine", 1.0)
        assert mlflow.get_run(active.info.run_id).data.metrics == {"mine": 1.0}
    finally:
        mlflow.set_tracking_uri(None)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://127.0.0.1:9", "refused"),
        ("nonsense://somewhere", "unsupported URI"),
        ("/proc/nowhere", "No such file or directory"),
    ],
)
def test_a_place_that_cannot_be_reached(uri: str, reason: str, build_logger: BuildLogger) -> None:
    pytest.importorskip("mlflow")
    with pytest.raises(OutputError, match=rf"^logger mlflow.*{reason}.*tracking_uri") as caught:
        build_logger("mlflow", tracking_uri=uri)
    assert "\n" not in str(caught.value)


def test_a_password_of_the_environment_is_not_shown(build_logger: BuildLogger, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(OutputError, match=r"at http://127\.0\.0\.1:9: .*refused") as caught:
        build_logger("mlflow")
    assert "secret" not in str(caught.value)


def test_a_place_that_is_lost_on_the_way(build_logger: BuildLogger, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    logger = build_logger("mlflow")
    (tmp_path / "mlruns").rename(tmp_path / "away")
    with pytest.raises(OutputError, match="logger mlflow at file:"):
        logger.log(Record("train", 1, 0.5, {"loss": 0.5}))
    with pytest.raises(OutputError, match="logger mlflow at file:"):
        logger.close()
    with pytest.raises(TrainingError, match="the cause"):  # noqa: PT012
        try:
            raise TrainingError("the cause")
        finally:
            logger.close()


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """The address of a tracking server that knows one experiment and one run, and what it was sent, as it comes."""
    info = {"run_id": "a" * 32, "run_uuid": "a" * 32, "experiment_id": "1", "status": "RUNNING"}
    run = {"info": info | {"lifecycle_stage": "active", "artifact_uri": "mlflow-artifacts:/1/a"}, "data": {}}
    answers: dict[str, Any] = {
        "experiments/get-by-name": {"experiment": {"experiment_id": "1", "lifecycle_stage": "active"}},
        "runs/create": {"run": run},
        "runs/get": {"run": run},
        "runs/update": {"run_info": run["info"]},
        "runs/log-batch": {},
    }
    sent: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.split("?")[0].removeprefix("/api/2.0/mlflow/")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            sent.append((name, json.loads(body) if body else None))
            content = json.dumps(answers[name]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            """Not on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", sent
        http.shutdown()


def test_a_server(
    server: tuple[str, list[tuple[str, Any]]], build_logger: BuildLogger, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow")
    configure_logging()
    address, sent = server
    logger = build_logger("mlflow", tracking_uri=address)
    logger.log(Record("evaluation", 3, 1.0, {"mrr@10": 0.5}))
    logger.close()
    assert [name for name, _ in sent] == [
        *("experiments/get-by-name", "runs/create", "runs/log-batch", "runs/update"),
    ]
    (metric,) = sent[2][1]["metrics"]
    assert (metric["key"], metric["value"], int(metric["step"])) == ("evaluation/mrr_at_10", 0.5, 3)
    assert sent[3][1]["status"] == "FINISHED"
    out, err = capfd.readouterr()
    assert out == "", "stdout is a command's output"
    assert address in err


def test_nothing_goes_over_the_network(tmp_path: Path) -> None:
    """Without the marks by which MLflow knows tests and CI, where it does not report anyway."""
    pytest.importorskip("mlflow")
    code = """
        import socket, sys, threading
        from pathlib import Path
        asked = []
        def refuse(*arguments, **options):
            asked.append(arguments)
            raise OSError("no network")
        socket.getaddrinfo = socket.socket.connect = refuse
        from core_engine import LoggerContext, Record
        from core_engine_loggers.config import MLflow
        logger = MLflow().build(LoggerContext(Path(sys.argv[1]), "run", 2, None))
        logger.log(Record("train", 1, 0.5, {"loss": 0.5}))
        logger.close()
        for thread in threading.enumerate():
            if thread is not threading.main_thread():
                thread.join(1)
        assert not asked, asked
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = kept | {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "config").exists()
    assert len(runs(tmp_path / "mlruns")) == 1


def test_a_password_does_not_belong_in_a_recipe() -> None:
    pytest.importorskip("mlflow")
    ((option, problem),) = MLflow(tracking_uri="http://me:secret@host:5000").check()
    assert option == "tracking_uri"
    assert "MLFLOW_TRACKING_URI" in problem
    assert "secret" not in problem
    for fine in (None, "http://host:5000", "http://me@host", "file:///a:b/c@d", "sqlite:///x.db"):
        assert not list(MLflow(tracking_uri=fine).check())


def test_without_mlflow_the_extra_is_named(build_logger: BuildLogger, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "core_engine_loggers.mlflow", raising=False)
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as if it were not installed
    assert [option for option, problem in MLflow().check() if "core-engine[mlflow]" in problem] == ["type"]
    with pytest.raises(PluginError, match=r'pip install "core-engine\[mlflow\]"'):
        build_logger("mlflow")
