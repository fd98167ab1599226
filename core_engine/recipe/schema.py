"""The recipe as frozen classes. Every key a recipe may have is a field here, or in a component's config class."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import attrs
from attrs import Factory, field, frozen
from attrs.validators import and_, ge, gt, le, lt, min_len, optional

from core_engine.contracts.backend import AUTO, REFERENCE
from core_engine.contracts.component import Kind
from core_engine.contracts.embeddings import StoredDtype
from core_engine.contracts.schedule import Ramp, Scheduled, each_value
from core_engine.recipe.difficulty import Difficulty
from core_engine.recipe.modes import Mode
from core_engine.recipe.slots import ComponentRef, NameOf, Slot
from core_engine.recipe.training import Train

#: Version of this format. A recipe may state the one it was written for; another is refused.
RECIPE_FORMAT = 1


# Data.


#: Share of the rows that is held out for each part without a source of its own.
DEFAULT_SHARE = 0.15


@frozen
class Split:
    """Shares of the training file's rows to hold out, by whole groups, for each part that has no file of its own."""

    #: ``DEFAULT_SHARE`` where it is not given.
    validation: float | None = field(default=None, validator=optional(and_(gt(0), lt(1))))
    test: float | None = field(default=None, validator=optional(and_(gt(0), lt(1))))

    def __attrs_post_init__(self) -> None:
        if self.share("validation") + self.share("test") >= 1:
            raise ValueError("validation and test together leave nothing to train on; make them smaller")

    def share(self, part: Literal["validation", "test"]) -> float:
        given = self.validation if part == "validation" else self.test
        return DEFAULT_SHARE if given is None else given


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
    #: What makes a training row difficult; curricula need it.
    difficulty: Difficulty | None = None

    def __attrs_post_init__(self) -> None:
        if self.split is None:
            return
        if self.validation is not None and self.test is not None:
            raise ValueError("split has no effect where validation and test have sources of their own; remove it")
        for part in ("validation", "test"):
            if getattr(self, part) is not None and getattr(self.split, part) is not None:
                raise ValueError(f"split.{part} has no effect where {part} has a source of its own; remove it")


# Lattice.


#: 256 cells along each axis: far beyond what fits into memory in training, and still countable.
MAX_CELLS = 256**3


def _three_positive(instance: object, attribute: attrs.Attribute[tuple[int, int, int]], value: tuple[int, ...]) -> None:
    if min(value) < 1:
        raise ValueError(f"a lattice has at least one cell along each axis: {list(value)}")
    if math.prod(value) > MAX_CELLS:
        raise ValueError(f"a lattice of {math.prod(value)} cells; {MAX_CELLS} are the most")


def _memory(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, int) and value < 1:
        raise ValueError(f"keep every k-th state, k at least 1, not {value}; 'none' sets no bound to memory")


@frozen
class Shortcut:
    """What stands beside the lattice: a learned gain for each of the ``axes``, and an offset."""

    #: Rank of a learned linear map among the axes; it starts at zero. 0 for none.
    rank: int = field(default=0, validator=ge(0))
    #: How many axes that map joins, the largest first.
    width: int = field(default=384, validator=ge(1))
    #: Whose principal axes over the training rows: the inputs', or those of the differences of targets and inputs.
    axes: Literal["inputs", "differences"] = "inputs"


@frozen
class Lattice:
    """The grid of cells.

    ``size``: cells along x, y, z. ``channels``: floats per cell. ``steps``: how often every cell updates.
    """

    size: tuple[int, int, int] = field(validator=_three_positive)
    kernel: Annotated[ComponentRef, Slot(Kind.KERNEL)]
    channels: int = field(default=16, validator=ge(1))
    steps: int = field(default=4, validator=ge(1))
    #: Lets the embedding pass beside the lattice, whose steps then learn what to change of it.
    shortcut: Shortcut | None = None
    #: What computes the cells: ``reference`` is the kernel's own plain PyTorch, ``auto`` the fastest that can.
    backend: Annotated[str, NameOf(Kind.BACKEND, (AUTO, REFERENCE))] = AUTO
    #: What training keeps for the backward pass: ``none`` bounds nothing, ``states`` keeps each step's state and
    #: computes the rest again, a number k keeps every k-th state.
    memory: Literal["none", "states"] | int = field(default="none", validator=_memory)

    @property
    def kept_states(self) -> int | None:
        """``memory`` as a number: every how many states one is kept; None for no bound."""
        return {"none": None, "states": 1}[self.memory] if isinstance(self.memory, str) else self.memory


# Loss.


_positive: Any = gt(0)


def _weight(instance: object, attribute: attrs.Attribute[Any], value: Scheduled) -> None:
    if isinstance(value, Ramp):
        each_value(ge(0))(instance, attribute, value)
        if not value.start and not value.end:
            raise ValueError("a weight that is 0 throughout does nothing; remove the loss")
    else:
        _positive(instance, attribute, value)


@frozen
class LossTerm:
    """One loss and its weight in the sum; in the recipe, ``weight`` stands beside the loss's own options."""

    loss: Annotated[ComponentRef, Slot(Kind.LOSS)]
    #: A number, or a ramp from ``start`` to ``end`` over the run.
    weight: Scheduled = field(default=1.0, validator=_weight)


# Embeddings.


@frozen
class Store:
    """How the teacher's embeddings are kept in the user's cache folder, and so what a run works with."""

    #: ``float16`` and ``bfloat16`` take half the room and round each value to 11 and 8 significant bits.
    dtype: StoredDtype = "float32"


# Evaluation.

Baseline = Literal[
    "identity", "mean_shift", "ridge", "procrustes", "gains", "low_rank_16", "low_rank_64", "linear", "mlp"
]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
#: What a run is set beside where the recipe does not say.
USUAL_BASELINES: tuple[Baseline, ...] = ("identity", "mean_shift", "ridge", "procrustes", "linear", "mlp")


@frozen
class Evaluation:
    """What the trained core is set beside."""

    baselines: list[Baseline] = Factory(lambda: list(USUAL_BASELINES))


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
    store: Store = Factory(Store)
    #: Which training rows an epoch visits, and in what order; null for each once, shuffled.
    sampler: Annotated[ComponentRef, Slot(Kind.SAMPLER)] | None = None
    #: Wrong targets for each training row, beside those in its batch.
    negatives: Annotated[ComponentRef, Slot(Kind.NEGATIVES)] | None = None
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
