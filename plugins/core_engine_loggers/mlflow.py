"""Records as metrics of an MLflow run."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator

import structlog

# As long as the user has not said otherwise: no reports to MLflow's makers, folders as stores (the only local ones
# without a database library), and nothing on stdout, which is a command's output.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient, is_tracking_uri_set

from core_engine import LoggerContext, Record
from core_engine_loggers.tracking import calling, keep_id, kept_id, lock_file, locked_recipe, without_password

log = structlog.get_logger("core_engine.loggers.mlflow")

_REMEDY = "see to tracking_uri, or the environment variable MLFLOW_TRACKING_URI"


class MLflowLogger:
    """Metrics ``train/NAME`` and ``evaluation/NAME`` over optimiser steps, and the locked recipe as parameters and
    artifact. A resumed run goes on in the MLflow run of the run before.

    It speaks to a client of its own, so that an MLflow run that the program has open stays as it is.
    """

    def __init__(self, context: LoggerContext, experiment: str, tracking_uri: str | None) -> None:
        self._outer_error = sys.exception()
        if tracking_uri is None and not is_tracking_uri_set():
            tracking_uri = (context.run_dir / "mlruns").absolute().as_uri()
        with calling("logger mlflow", _REMEDY):
            self._client = MlflowClient(tracking_uri)
        self._service = f"logger mlflow at {self._client.tracking_uri}"
        id_file = context.run_dir / "mlflow_run_id.txt"
        run_id = kept_id(context, id_file)
        if run_id is None:
            with calling(self._service, _REMEDY):
                run_id = self._new_run(context, experiment)
            keep_id(id_file, run_id)
        else:
            with calling(self._service, f"{_REMEDY}; without {id_file} another MLflow run is begun"):
                self._client.update_run(run_id, status="RUNNING")
        self._run_id = run_id
        place = without_password(self._client.tracking_uri)
        log.info("MLflow run", tracking_uri=place, experiment=experiment, run_id=run_id)

    def log(self, record: Record) -> None:
        now = int(time.time() * 1000)
        metrics = [
            Metric(f"{record.kind}/{_allowed(name)}", float(value), now, record.step)
            for name, value in record.values.items()
        ]
        with calling(self._service, _REMEDY):
            self._client.log_batch(self._run_id, metrics=metrics)

    def progress(self, step: int) -> None:
        """A metric says its step itself."""

    def close(self) -> None:
        """The MLflow run has failed where an error is on its way that was not there when the run began."""
        failed = sys.exception() not in (None, self._outer_error)
        with calling(self._service, _REMEDY, failed):
            self._client.set_terminated(self._run_id, "FAILED" if failed else "FINISHED")

    def _new_run(self, context: LoggerContext, experiment: str) -> str:
        run = self._client.create_run(self._experiment_id(experiment), run_name=context.run_dir.name)
        run_id: str = run.info.run_id
        params = [Param(_allowed(name), str(value)) for name, value in _flat(locked_recipe(context.run_dir))]
        if params:
            self._client.log_batch(run_id, params=params)
            self._client.log_artifact(run_id, str(lock_file(context.run_dir)))
        return run_id

    def _experiment_id(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                made: str = self._client.create_experiment(name)
                return made
            except MlflowException:
                found = self._client.get_experiment_by_name(name)  # another run may have made it meanwhile
                if found is None:
                    raise
        found_id: str = found.experiment_id
        return found_id


def _allowed(name: str) -> str:
    """MLflow's names have no ``@``; and a folder as store has no room for ``loss/part`` beside ``loss``."""
    return re.sub(r"[^\w. -]", "_", name.replace("@", "_at_").replace("/", "."))


def _flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """``{"a": {"b": 1}}`` as ``a.b``, 1. A list stays as it is, unless it holds mappings."""
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value
