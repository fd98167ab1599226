"""A teacher behind a pool of Ray actors."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from core_engine import Teacher, TeacherContext
from core_engine.errors import EngineError, TeacherError
from core_engine_ray.config import Ray


class RayTeacher:
    """Encodes on the workers; rows come back as they are done, and only texts and rows travel.

    ``dim`` and ``fingerprint`` are the inner teacher's, which is built here too and loads nothing.
    """

    #: All that there is at once: a pool of workers loads its models anew for each call.
    chars_per_call = 2**62

    def __init__(self, config: Ray, context: TeacherContext) -> None:
        self._config = config
        # A worker sees the GPUs that are its own as the first ones.
        self._device = "cuda" if config.gpus else "cpu"
        inner: Teacher = config.teacher.config.build(attrs.evolve(context, device=self._device))
        self.dim = inner.dim
        self.fingerprint = inner.fingerprint
        self.description = {**getattr(inner, "description", {}), "by": "ray"}
        self._usage: dict[str, int] = {}

    @property
    def usage(self) -> Mapping[str, int]:
        """What the workers' teachers have counted."""
        return dict(self._usage)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """float32 ``[len(texts), dim]``, in the order of ``texts``."""
        out = torch.empty(len(texts), self.dim)
        for numbers, rows in self.stream(texts):
            out[list(numbers)] = rows
        return out

    def stream(self, texts: Sequence[str]) -> Iterator[tuple[Sequence[int], Tensor]]:
        """Numbers of texts and their rows, batch by batch in the order in which workers finish.

        TeacherError, with the worker's own words, where a worker cannot encode.
        """
        if not texts:
            return
        import ray

        with _cluster(self._config.address):
            resources: Mapping[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            self._require_room(resources)
            ray.data.DataContext.get_current().enable_progress_bars = False
            encoded = self._encoded(texts)
            try:
                for batch in encoded.iter_batches(batch_size=None, batch_format="numpy"):
                    yield self._received(batch)
            except ray.exceptions.RayError as error:
                raise TeacherError(f"a Ray worker failed: {str(error).strip().splitlines()[0]}") from error

    def _encoded(self, texts: Sequence[str]) -> Any:
        """The data set that comes out; nothing is computed before it is read."""
        import ray

        items = [{"number": number, "text": text} for number, text in enumerate(texts)]
        blocks = -(-len(items) // self._config.batch_texts)
        with warnings.catch_warnings():
            # Deprecated, and the only way to say how often a worker may be started again: Ray itself never gives up.
            warnings.filterwarnings("ignore", message=".*ray_remote_args_fn")
            return ray.data.from_items(items, override_num_blocks=blocks).map_batches(
                _Worker,
                fn_constructor_args=(self._config.teacher.config, self._device, self.dim),
                batch_size=self._config.batch_texts,
                compute=ray.data.ActorPoolStrategy(size=self._config.workers),
                num_cpus=self._config.cpus,
                num_gpus=self._config.gpus,
                ray_remote_args_fn=lambda: {"max_restarts": 1, "max_task_retries": 1},
            )

    def _require_room(self, resources: Mapping[str, float]) -> None:
        """Ray would wait for more machines without a word, unless one worker at least fits."""
        for name, asked in (("CPU", self._config.cpus), ("GPU", self._config.gpus)):
            if asked > resources.get(name, 0):
                raise TeacherError(
                    f"a Ray worker asks for {name.lower()}s: {asked:g}, and the cluster has {resources.get(name, 0):g} "
                    f"in all: ask for less, or give the 'address' of another cluster"
                )

    def _received(self, batch: Mapping[str, Any]) -> tuple[Sequence[int], Tensor]:
        for error in batch["error"]:
            if error:
                raise TeacherError(f"a Ray worker: {error}")
        for figures in filter(None, batch["usage"]):
            for name, count in json.loads(figures).items():
                self._usage[name] = self._usage.get(name, 0) + count
        # What Ray gives is memory that others read too.
        return batch["number"].tolist(), torch.from_numpy(np.array(batch["row"], dtype=np.float32))


class _Worker:
    """One actor of the pool: a teacher that stays loaded."""

    def __init__(self, teacher: Any, device: str, dim: int) -> None:
        self._config, self._device, self._dim = teacher, device, dim
        self._teacher: Teacher | None = None
        self._counted: dict[str, int] = {}

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        count = len(batch["text"])
        rows, error = np.zeros((count, self._dim), np.float32), ""
        usage: dict[str, int] = {}
        try:
            rows, usage = self._encode([str(text) for text in batch["text"]])
        except Exception as told:  # what it says is lost among what Ray says of it
            error = str(told) if isinstance(told, EngineError) else f"{type(told).__name__}: {told}"
        # Figures are those of the batch, with its first row.
        figures = [json.dumps(usage), *[""] * (count - 1)]
        return {"number": batch["number"], "row": rows, "usage": figures, "error": [error] * count}

    def _encode(self, texts: list[str]) -> tuple[Any, dict[str, int]]:
        if self._teacher is None:
            self._teacher = self._config.build(TeacherContext(device=self._device))
        rows = self._teacher.encode(texts)
        counted = dict(getattr(self._teacher, "usage", {}))
        usage = {name: count - self._counted.get(name, 0) for name, count in counted.items()}
        self._counted = counted
        return rows.numpy(), usage


@contextmanager
def _cluster(address: str | None) -> Iterator[None]:
    """Connected to a cluster; one that was started for this is stopped again. TeacherError where there is none."""
    # Whoever wants to be counted says so themselves.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        with _silence():
            yield
        return
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # whatever this version of Ray raises
        raise TeacherError(
            f"no Ray cluster can be reached or started ({type(error).__name__}: {str(error).splitlines()[0]}): check "
            f"'address' and RAY_ADDRESS"
        ) from error
    try:
        with _silence():
            yield
    finally:
        ray.shutdown()


@contextmanager
def _silence() -> Iterator[None]:
    """Without Ray's reports of its progress and of errors, which the engine gives in its own way."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
