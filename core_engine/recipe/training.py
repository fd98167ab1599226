"""How a core is trained: optimiser, schedule, stopping rules, checkpoints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from attrs import Factory, field, frozen
from attrs.validators import and_, deep_iterable, ge, gt, le, lt, matches_re, optional

from core_engine.recipe.slots import Choice

#: No optimiser learns at such a rate; a larger one is a slip of the pen.
MAX_RATE = 1000.0


@frozen
class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019)."""

    lr: float = field(default=1e-3, validator=[gt(0), le(MAX_RATE)])
    weight_decay: float = field(default=0.01, validator=ge(0))
    betas: tuple[float, float] = field(default=(0.9, 0.999), validator=deep_iterable(and_(ge(0), lt(1))))
    #: Core parameters that are not decayed, by name or pattern such as ``*bias``; parameters of losses never are.
    no_decay: list[str] = Factory(list)


@frozen
class Adam:
    """Adam (Kingma & Ba, 2015)."""

    lr: float = field(default=1e-3, validator=[gt(0), le(MAX_RATE)])
    betas: tuple[float, float] = field(default=(0.9, 0.999), validator=deep_iterable(and_(ge(0), lt(1))))


@frozen
class SGD:
    """Stochastic gradient descent with momentum."""

    lr: float = field(default=0.1, validator=[gt(0), le(MAX_RATE)])
    momentum: float = field(default=0.9, validator=and_(ge(0), lt(1)))
    weight_decay: float = field(default=0.0, validator=ge(0))
    #: Core parameters that are not decayed, by name or pattern such as ``*bias``; parameters of losses never are.
    no_decay: list[str] = Factory(list)


OPTIMIZERS = {"adamw": AdamW, "adam": Adam, "sgd": SGD}
Optimizer = Annotated[AdamW | Adam | SGD, Choice(OPTIMIZERS, default="adamw")]


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
Schedule = Annotated[Constant | Cosine | Plateau, Choice(SCHEDULES, default="cosine")]


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
    #: Take the loss over the whole of ``batch_size`` although the core sees a part of it at a time (GradCache): the
    #: gradient of the large batch for the memory of a part and a second forward pass.
    grad_cache: bool = False
    optimizer: Optimizer = Factory(AdamW)
    schedule: Schedule = Factory(Cosine)
    #: Evaluate and keep the exponential moving average of the weights over steps with this decay; null for the weights
    #: themselves.
    ema: float | None = field(default=None, validator=optional(and_(gt(0), lt(1))))
    #: Largest norm of the gradient over all parameters; null for no clipping.
    clip_norm: float | None = field(default=1.0, validator=optional(gt(0)))  # type: ignore[arg-type]
    #: Epochs between evaluations on the validation split.
    evaluate_every: int = field(default=1, validator=ge(1))
    #: Metric of the validation split by which the best checkpoint is chosen.
    monitor: str = "mrr@10"
    early_stopping: EarlyStopping | None = None
    checkpoints: Checkpoints = Factory(Checkpoints)
    #: Start from the best core of this run, its folder, instead of an untrained one: of the same lattice, or of a
    #: smaller one. Embeddings are then normalised as in that run.
    init_from: Path | None = None
    #: What products are computed in while training (autocast); weights, state and evaluation stay in float32.
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    #: A gradient that holds NaN or infinity ends the run and names where it came from, or its step is left out and
    #: counted. (In float16, where the scale of the loss is found so, such steps are always left out.)
    non_finite: Literal["stop", "skip"] = "stop"
    #: Only operations that give the same bits each time on a GPU too; some are slower, and some are errors then.
    deterministic: bool = False
    #: Longest time of the run in this process, such as ``90s``, ``30m`` or ``6h``: then it writes a checkpoint and
    #: ends, to be gone on with by ``--resume``.
    max_time: str | None = field(default=None, validator=optional(matches_re(r"\d+(\.\d+)?[smh]")))
    #: Most memory that weights, gradients, optimiser and activations may take, such as ``500MB`` or ``4GB``; null for
    #: what is free on the device. A run that would take more is refused before its first step.
    memory_budget: str | None = field(default=None, validator=optional(matches_re(r"\d+(\.\d+)?[MG]B")))
    #: Measure where the time of a step goes; on a GPU, that makes steps slower.
    profile: bool = False

    @property
    def max_seconds(self) -> float:
        """``max_time``, without end where there is none."""
        if self.max_time is None:
            return math.inf
        return float(self.max_time[:-1]) * {"s": 1, "m": 60, "h": 3600}[self.max_time[-1]]

    @property
    def memory_budget_bytes(self) -> float:
        """``memory_budget`` in bytes, without end where there is none."""
        if self.memory_budget is None:
            return math.inf
        return float(self.memory_budget[:-2]) * {"MB": 1e6, "GB": 1e9}[self.memory_budget[-2:]]

    def __attrs_post_init__(self) -> None:
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulate {self.accumulate}")
        if self.grad_cache and self.accumulate == 1:
            raise ValueError("grad_cache has no effect on a batch in one part; raise accumulate, or remove it")
