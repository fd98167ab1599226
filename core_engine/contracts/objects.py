"""What the object that a component builds must do, one protocol per kind.

Shapes: B batch, D_in and D_out embedding dimensions, X, Y, Z cells, C channels of the state, E channels of the drive.
Tensors are floating point and on one device; nothing here copies to the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from attrs import frozen

from core_engine.contracts.data import Example

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class DataSource(Protocol):
    """Yields the rows of one split or file, in a fixed order. A bad row raises DataError naming file and line."""

    def read(self) -> Iterator[Example]: ...


@runtime_checkable
class Teacher(Protocol):
    """A frozen encoder.

    ``fingerprint`` identifies everything an embedding depends on: weights, tokenizer, pooling, normalisation,
    precision, maximum length. Two teachers with one fingerprint give the same embeddings. It must be cheap: no weights
    are loaded for it. ``encode`` gives float32 ``[len(texts), dim]`` on the CPU, rows in the order of ``texts``.

    A teacher may also have: ``chars_per_call`` (int), how many characters of text it wants to be handed at a time;
    ``usage``, a mapping of what it has counted since it was built, such as ``tokens`` and the texts that it ``cut`` (of
    which the user is warned); ``description``, a mapping of a
    few words for people, such as its model; ``check_texts(texts)``, which raises for texts that ``encode`` would refuse
    and is asked of all of them before the first is encoded; ``close()``, which frees what ``encode`` has loaded; and
    ``stream(texts)``, an iterator of ``(numbers of texts, their rows)`` in any order, for one that computes elsewhere:
    it is used in place of ``encode``, and what it gives is stored at once.
    """

    @property
    def dim(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    def encode(self, texts: Sequence[str]) -> Tensor: ...


class Reshape(Protocol):
    """An ``nn.Module`` between embeddings and the lattice; differentiable, batched, on the input's device.

    The same channels carry values in and out: the drive has ``channels`` channels, and the first ``channels`` channels
    of the final state are read. ``input_cells`` and ``output_cells`` (bool ``[X, Y, Z]``) say where values enter and
    leave.
    """

    channels: int
    input_cells: Tensor
    output_cells: Tensor

    def fit(self, inputs: Tensor, targets: Tensor) -> None:
        """Once, before training, with the normalised training split: ``[n, D_in]`` and ``[n, D_out]``."""

    def to_lattice(self, embedding: Tensor) -> Tensor:
        """``[B, D_in] -> [B, X, Y, Z, channels]``"""
        ...

    def from_lattice(self, values: Tensor) -> Tensor:
        """``[B, X, Y, Z, channels] -> [B, D_out]``"""
        ...


class Kernel(Protocol):
    """An ``nn.Module`` that holds the parameters all cells share and runs all T steps.

    Usually a :class:`core_engine.CellKernel`, whose rollout backends may compute and whose memory can be bounded.

    ``seed`` and ``sample_ids`` (int64 ``[B]``) key everything random in the cell, so that a sample's noise does not
    depend on the batch it stands in; draw with :func:`core_engine.core.noise.normal`. A kernel whose lattice closes on
    itself says so with an attribute ``periodic = True``, and one whose cells see all 26 cells around them with
    ``neighbours = 26``; ``core-engine check`` reads both.
    """

    def __call__(self, state: Tensor, drive: Tensor, steps: int, seed: int, sample_ids: Tensor) -> Tensor:
        """state ``[B, X, Y, Z, C]``, drive ``[B, X, Y, Z, E]`` -> state ``[B, X, Y, Z, C]`` after ``steps`` steps."""
        ...


@frozen
class Batch:
    """What a loss may know of a batch besides output and target.

    ``indices``: rows of the training set, int64 ``[B]``. ``inputs``: ``[B, D_in]`` as fed to the core, noise included.
    ``target_ids``: int64 ``[B]``; equal ids mean equal target texts, so such a row is no negative for another.
    ``group_ids``: int64 ``[B]``. ``epoch`` counts from 0.
    """

    indices: Tensor
    inputs: Tensor
    target_ids: Tensor
    group_ids: Tensor
    epoch: int


class Loss(Protocol):
    """Any callable ``(output, target, batch) -> scalar tensor``, or ``-> (scalar tensor, named parts)``.

    output and target are ``[B, D]`` in the teacher's own space. An ``nn.Module`` may hold parameters of its own.
    Parts are scalar tensors for the log only; they carry no gradient.
    """

    def __call__(
        self, output: Tensor, target: Tensor, batch: Batch
    ) -> Tensor | tuple[Tensor, Mapping[str, Tensor]]: ...


@frozen
class Record:
    """One line of a run's history. ``kind``: ``train`` (means over an epoch's steps so far) or ``evaluation``.

    ``step`` counts optimiser steps done, ``epoch`` epochs done.
    """

    kind: Literal["train", "evaluation"]
    step: int
    epoch: float
    values: Mapping[str, float]


class Logger(Protocol):
    """Receives a run's figures. (Events go to structlog on stderr; this is for numbers.)"""

    def log(self, record: Record) -> None: ...
    def progress(self, step: int) -> None:
        """Called several times a second at most, with the optimiser steps done."""

    def close(self) -> None: ...
