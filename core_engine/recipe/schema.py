"""The recipe as frozen classes. Every key a recipe may have is a field here, or in a component's config class."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, get_args

import attrs
from attrs import Factory, field, frozen
from attrs.validators import and_, deep_iterable, ge, gt, le, lt, min_len, optional

from core_engine.contracts.component import Kind
from core_engine.recipe.slots import Choice, ComponentRef, Slot

#: Version of this format. A recipe may state the one it was written for; another is refused.
RECIPE_FORMAT = 1


# Modes: what is mapped to what.


@frozen
class Autoencoder:
    """Each text to itself. In pairs, questions and answers are texts alike."""

    #: Norm of the Gaussian noise added to training inputs, relative to the inputs' root-mean-square norm.
    #: The target stays clean.
    noise: float = field(default=0.0, validator=ge(0))
    #: The same for held-out inputs: above 0, evaluation measures denoising. 0.75 puts the noisy input at a cosine
    #: of 0.8.
    evaluation_noise: float = field(default=0.0, validator=ge(0))


@frozen
class Dialogue:
    """Each question to its answer."""


@frozen
class Mixed:
    """Questions to answers, and answers to themselves, in one core; held-out figures are the dialogue's."""

    #: ``ratio``: both in every epoch. ``alternate``: an epoch of dialogue, then an epoch of autoencoder.
    schedule: Literal["ratio", "alternate"] = "ratio"
    #: Share of autoencoder rows in an epoch, for schedule ``ratio``; 0.5 where it is not given.
    autoencoder_share: float | None = field(default=None, validator=optional(and_(gt(0), lt(1))))
    #: As in the autoencoder mode, on autoencoder rows only.
    noise: float = field(default=0.0, validator=ge(0))

    def __attrs_post_init__(self) -> None:
        if self.schedule == "alternate" and self.autoencoder_share is not None:
            raise ValueError("autoencoder_share has no effect where epochs alternate; remove it")


MODES = {"autoencoder": Autoencoder, "dialogue": Dialogue, "mixed": Mixed}
Mode = Annotated[Autoencoder | Dialogue | Mixed, Choice(MODES)]


# Data.


@frozen
class Split:
    """Shares of the training file's rows to hold out, by whole groups, for each part that has no file of its own."""

    validation: float = field(default=0.15, validator=and_(gt(0), lt(1)))
    test: float = field(default=0.15, validator=and_(gt(0), lt(1)))

    def __attrs_post_init__(self) -> None:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together leave nothing to train on; make them smaller")


@frozen
class Filters:
    """Which rows to leave out; how many fell to which rule is logged and stands in ``result.json``."""

    #: Lengths in characters, of question and answer alike, white space at the ends not counted.
    min_chars: int = field(default=1, validator=ge(1))
    max_chars: int | None = field(default=None, validator=optional(ge(1)))
    #: Pairs whose question equals the answer.
    drop_identical: bool = True
    #: Pairs that stand in the data already; in held-out data they are left alone by default.
    drop_duplicates: Literal["train", "all", "none"] = "train"
    #: Training pairs whose question and answer the teacher finds less alike than this cosine.
    min_similarity: float | None = field(default=None, validator=optional(and_(ge(-1), le(1))))

    def __attrs_post_init__(self) -> None:
        if self.max_chars is not None and self.max_chars < self.min_chars:
            raise ValueError("max_chars is less than min_chars")


DataSlot = Annotated[ComponentRef, Slot(Kind.DATA_SOURCE)]


@frozen
class Data:
    """Where rows come from. Parts without a source of their own are split off the training source by group."""

    train: DataSlot
    validation: DataSlot | None = None
    test: DataSlot | None = None
    #: Further texts among which the right answer has to be found at test time.
    corpus: DataSlot | None = None
    split: Split | None = None
    filters: Filters = Factory(Filters)

    def __attrs_post_init__(self) -> None:
        if self.split is not None and self.validation is not None and self.test is not None:
            raise ValueError("split has no effect where validation and test have sources of their own; remove it")


# Lattice.


def _three_positive(instance: object, attribute: attrs.Attribute[tuple[int, int, int]], value: tuple[int, ...]) -> None:
    if min(value) < 1:
        raise ValueError(f"a lattice has at least one cell along each axis: {list(value)}")


@frozen
class Lattice:
    """The grid of cells.

    ``size``: cells along x, y, z. ``channels``: floats per cell. ``steps``: how often every cell updates.
    """

    size: tuple[int, int, int] = field(validator=_three_positive)
    kernel: Annotated[ComponentRef, Slot(Kind.KERNEL)]
    channels: int = field(default=16, validator=ge(1))
    steps: int = field(default=4, validator=ge(1))


# Loss.


@frozen
class LossTerm:
    """One loss and its weight in the sum; in the recipe, ``weight`` stands beside the loss's own options."""

    loss: Annotated[ComponentRef, Slot(Kind.LOSS)]
    weight: float = field(default=1.0, validator=gt(0))


# Training.


@frozen
class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019)."""

    lr: float = field(default=1e-3, validator=gt(0))
    weight_decay: float = field(default=0.01, validator=ge(0))
    betas: tuple[float, float] = field(default=(0.9, 0.999), validator=deep_iterable(and_(ge(0), lt(1))))


@frozen
class Adam:
    """Adam (Kingma & Ba, 2015)."""

    lr: float = field(default=1e-3, validator=gt(0))
    betas: tuple[float, float] = field(default=(0.9, 0.999), validator=deep_iterable(and_(ge(0), lt(1))))


@frozen
class SGD:
    """Stochastic gradient descent with momentum."""

    lr: float = field(default=0.1, validator=gt(0))
    momentum: float = field(default=0.9, validator=and_(ge(0), lt(1)))
    weight_decay: float = field(default=0.0, validator=ge(0))


OPTIMIZERS = {"adamw": AdamW, "adam": Adam, "sgd": SGD}
Optimizer = Annotated[AdamW | Adam | SGD, Choice(OPTIMIZERS)]


@frozen
class Constant:
    """The same rate throughout, after a linear warm-up over the given share of all steps."""

    warmup: float = field(default=0.0, validator=and_(ge(0), lt(1)))


@frozen
class Cosine:
    """Linear warm-up, then half a cosine (Loshchilov & Hutter, 2017) down to ``final`` times the rate."""

    warmup: float = field(default=0.05, validator=and_(ge(0), lt(1)))
    final: float = field(default=0.0, validator=and_(ge(0), le(1)))


@frozen
class Plateau:
    """Linear warm-up; then the rate is multiplied by ``factor`` whenever the monitored metric stops getting better.

    ``patience``: evaluations without a better one to put up with.
    """

    warmup: float = field(default=0.0, validator=and_(ge(0), lt(1)))
    factor: float = field(default=0.5, validator=and_(gt(0), lt(1)))
    patience: int = field(default=2, validator=ge(0))


SCHEDULES = {"constant": Constant, "cosine": Cosine, "plateau": Plateau}
Schedule = Annotated[Constant | Cosine | Plateau, Choice(SCHEDULES)]


@frozen
class EarlyStopping:
    """When to stop before the last step, by the monitored metric; each rule that is given can stop the run."""

    #: Evaluations in a row without an improvement of more than ``min_delta``.
    patience: int | None = field(default=None, validator=optional(ge(1)))
    min_delta: float = field(default=0.0, validator=ge(0))
    #: A value of the metric that is good enough.
    target: float | None = None
    #: The metric changed by less than this between two evaluations in a row.
    convergence: float | None = field(default=None, validator=optional(gt(0)))

    def __attrs_post_init__(self) -> None:
        if self.patience is None and self.target is None and self.convergence is None:
            raise ValueError("no rule is given; give patience, target or convergence, or remove early_stopping")
        if self.patience is None and self.min_delta:
            raise ValueError("min_delta has no effect without patience; remove it")


@frozen
class Checkpoints:
    """When to write checkpoints and how many to keep; the best by the monitored metric is always kept.

    One is also written where a run is stopped before its end.
    """

    #: At the end of an epoch, where the last one is this long ago.
    every_seconds: float = field(default=30.0, validator=ge(0))
    #: And after every so many optimiser steps, in the middle of an epoch too.
    every_steps: int | None = field(default=None, validator=optional(ge(1)))
    keep: int = field(default=2, validator=ge(1))


@frozen
class Train:
    """How the core is trained: for ``epochs`` or ``max_steps``, whichever ends first; without either, 10 epochs."""

    epochs: int | None = field(default=None, validator=optional(ge(1)))
    max_steps: int | None = field(default=None, validator=optional(ge(1)))
    #: Rows of one optimiser step; ``accumulate`` splits them into that many backward passes.
    batch_size: int = field(default=256, validator=ge(1))
    accumulate: int = field(default=1, validator=ge(1))
    optimizer: Optimizer = Factory(AdamW)
    schedule: Schedule = Factory(Cosine)
    #: Largest norm of the gradient over all parameters; null for no clipping.
    clip_norm: float | None = field(default=1.0, validator=optional(gt(0)))  # type: ignore[arg-type]
    #: Epochs between evaluations on the validation split.
    evaluate_every: int = field(default=1, validator=ge(1))
    #: Metric of the validation split by which the best checkpoint is chosen.
    monitor: str = "mrr@10"
    early_stopping: EarlyStopping | None = None
    checkpoints: Checkpoints = Factory(Checkpoints)

    def __attrs_post_init__(self) -> None:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulate {self.accumulate}")


# Evaluation.

Baseline = Literal["identity", "mean_shift", "ridge", "procrustes", "linear", "mlp"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)


@frozen
class Evaluation:
    """What the trained core is set beside."""

    baselines: list[Baseline] = Factory(lambda: list(BASELINES))


# The whole.


def _this_format(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if value != RECIPE_FORMAT:
        raise ValueError(
            f"the recipe is written in format {value}, and this engine reads format {RECIPE_FORMAT}; "
            f"install the core-engine that it was written for"
        )


def _run_name(instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ValueError(f"{value!r} cannot name a folder; use letters, digits, '.', '_' and '-'")


@frozen
class Recipe:
    """One run, complete. ``teacher`` is the name of an entry of ``teachers``; only ready embeddings need none."""

    data: Data
    lattice: Lattice
    reshape: Annotated[ComponentRef, Slot(Kind.RESHAPE)]
    loss: list[LossTerm] = field(validator=min_len(1))
    mode: Mode
    loggers: list[Annotated[ComponentRef, Slot(Kind.LOGGER)]]
    teachers: dict[str, Annotated[ComponentRef, Slot(Kind.TEACHER)]] = Factory(dict)
    teacher: str | None = None
    format: int = field(default=RECIPE_FORMAT, validator=_this_format)
    name: str = field(default="run", validator=_run_name)
    #: Every random stream of the run is derived from it.
    seed: int = field(default=0, validator=and_(ge(0), lt(2**63)))
    #: ``auto``, or a torch device such as ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    device: str = "auto"
    #: Folder in which each run makes a folder of its own.
    output: Path = Path("runs")
    #: Distribution -> version specifier, such as ``core-engine: ">=0.1,<1"``.
    requires: dict[str, str] = Factory(dict)
    #: Subtract each side's training mean before the lattice and add the target's afterwards.
    centre: bool = True
    #: A run that must not work, to set beside one that does: targets permuted among training rows, or cells that are
    #: not trained.
    control: Literal["none", "shuffled_targets", "frozen_lattice"] = "none"
    train: Train = Factory(Train)
    evaluation: Evaluation = Factory(Evaluation)
