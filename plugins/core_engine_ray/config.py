"""The component ``ray``."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from attrs import field, frozen
from attrs.validators import ge, gt

from core_engine import ComponentRef, Kind, Slot, TeacherContext

if TYPE_CHECKING:
    from core_engine_ray.teacher import RayTeacher


@frozen(kw_only=True)
class Ray:
    """Another teacher, on many workers of a Ray cluster at once (Ray Data's map_batches over a pool of actors).

    ``teacher``: what each worker loads. ``workers``: how many. ``gpus`` and ``cpus``: what each of them takes.
    ``address``: of the cluster, as ``ray.init`` takes it; without it, the environment variable ``RAY_ADDRESS``, else a
    cluster of this machine alone, for as long as the encoding takes. ``batch_texts``: texts that a worker is handed at
    a time. Embeddings and their place in the store are those of ``teacher`` itself.
    """

    teacher: Annotated[ComponentRef, Slot(Kind.TEACHER)]
    workers: int = field(default=2, validator=ge(1))
    cpus: float = field(default=1.0, validator=gt(0))
    gpus: float = field(default=0.0, validator=ge(0))
    address: str | None = None
    batch_texts: int = field(default=256, validator=ge(1))

    def check(self) -> Iterator[tuple[str, str]]:
        if importlib.util.find_spec("ray") is None:
            yield "", 'needs Ray: pip install "core-engine[ray]"'

    def embedding_dim(self) -> int | None:
        dim: int | None = self.teacher.config.embedding_dim()
        return dim

    def build(self, context: TeacherContext) -> RayTeacher:
        from core_engine_ray.teacher import RayTeacher

        return RayTeacher(self, context)
