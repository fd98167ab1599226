"""What the object that a component builds must do, one protocol per kind.

Shapes: B batch, D_in and D_out embedding dimensions, X, Y, Z cells, C channels of the state, E channels of the drive.
Tensors are floating point and on one device; nothing here copies to the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from attrs import Factory, frozen

from core_engine.contracts.data import Example

if TYPE_CHECKING:
    from torch import Generator, Tensor


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
    it is used in place of ``encode``, and what it gives is stored at once; and ``further``, other teachers by name,
    whose embeddings of the targets losses are given beside the teacher's own.
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

    One that can be carried over to a larger lattice has a method ``grown(weights, size)``: its state dict in a lattice
    of ``size``, no larger along any axis, as one for its own lattice, in which the old cells have the lowest
    coordinates (:func:`core_engine.grow_cells`) and no value enters or leaves by the new ones. ValueError where that
    cannot be.
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
    ``neighbours = 26``; ``core-engine check`` reads both. One with weights of each cell has a method ``grown``, as a
    reshape has.
    """

    def __call__(self, state: Tensor, drive: Tensor, steps: int, seed: int, sample_ids: Tensor) -> Tensor:
        """state ``[B, X, Y, Z, C]``, drive ``[B, X, Y, Z, E]`` -> state ``[B, X, Y, Z, C]`` after ``steps`` steps."""
        ...


@frozen(eq=False)
class Batch:
    """What a loss may know of a batch besides output and target.

    ``indices``: rows of the split, int64 ``[B]``. ``inputs``: ``[B, D_in]`` as fed to the core, noise included.
    ``target_ids``: int64 ``[B]``; equal ids mean equal target texts, so such a row is no negative for another.
    ``group_ids``: int64 ``[B]``. ``epoch`` counts from 0. ``progress``: the share of the run's steps done, 0 to 1; 1 on
    held-out rows, where a schedule is at its end.

    ``difficulty``: float32 ``[B]``, the share of training rows that are no harder, above 0 to 1; None where the recipe
    asks for none, and on held-out rows. ``negatives``: ``[B, K, D]`` wrong targets, and ``negative_mask``, bool
    ``[B, K]``, which of them are there; None without a ``negatives`` component, and on held-out rows. ``further``: the
    targets' embeddings by each further teacher, ``[B, D_k]``, by its name.
    """

    indices: Tensor
    inputs: Tensor
    target_ids: Tensor
    group_ids: Tensor
    epoch: int
    progress: float = 0.0
    difficulty: Tensor | None = None
    negatives: Tensor | None = None
    negative_mask: Tensor | None = None
    further: Mapping[str, Tensor] = Factory(dict)


class Loss(Protocol):
    """Any callable ``(output, target, batch) -> scalar tensor``, or ``-> (scalar tensor, named parts)``.

    output and target are ``[B, D]`` in the teacher's own space. An ``nn.Module`` may hold parameters of its own, and
    state in buffers, which checkpoints keep; it is in ``eval`` mode on held-out rows. Parts are scalar tensors for the
    log only; they carry no gradient.

    A loss may also have: ``rows(output, target, batch)``, the loss of each row, ``[B]``, so that other losses can weigh
    rows; ``fit(target, batch)``, called once before training with the whole training split; and ``validated(output,
    target, batch)``, called after each evaluation with the whole validation split.
    """

    def __call__(
        self, output: Tensor, target: Tensor, batch: Batch
    ) -> Tensor | tuple[Tensor, Mapping[str, Tensor]]: ...


@frozen(eq=False)
class Epoch:
    """What a sampler may know of the epoch that it arranges; tensors are on the CPU.

    ``rows``: how many rows there are, and how many the order must have. ``begin`` and ``end``: the shares of training
    done before and after the epoch. ``group_ids``: int64 ``[rows]``, or None where the data has no groups.
    ``difficulty``: float32 ``[rows]`` as in :class:`Batch`, or None. ``generator``: the only source of chance.
    """

    rows: int
    batch_size: int
    begin: float
    end: float
    group_ids: Tensor | None
    difficulty: Tensor | None
    generator: Generator


class Sampler(Protocol):
    """Arranges an epoch. It is asked anew when a run is resumed, so it must not remember anything."""

    def order(self, epoch: Epoch) -> Tensor:
        """Row numbers, int64 ``[epoch.rows]``, each at least 0 and below ``epoch.rows``; a row may come up several
        times or not at all.
        """
        ...


@frozen(eq=False)
class Search:
    """Where wrong targets are to be found, on the device.

    ``queries``: ``[n, D]``, where the map takes each training row now: before the first step the teacher's own
    embedding of the input (the untrained core's output, where input and target have different dimensions).
    ``corpus``: ``[m, D]``, the distinct training targets. ``own``: int64 ``[n]``, each row's right one among them.
    ``generator``: the only source of chance, on the CPU.
    """

    queries: Tensor
    corpus: Tensor
    own: Tensor
    generator: Generator


class Negatives(Protocol):
    """Chooses wrong targets for training rows, anew every ``refresh_every`` epochs."""

    @property
    def refresh_every(self) -> int: ...

    def choose(self, search: Search) -> tuple[Tensor, Tensor]:
        """Rows of the corpus, int64 ``[n, K]``, and which of them hold, bool ``[n, K]``; never a row's own target."""
        ...


class Rephraser(Protocol):
    """Finds other wordings of texts."""

    def rephrase(self, texts: Sequence[str], count: int) -> list[list[str]]:
        """For each text up to ``count`` wordings that ask for the same, best first."""
        ...


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
