"""Whether a run that is interrupted ends as one that is not, bit for bit."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import structlog
import torch
from attrs import frozen
from safetensors.torch import load_file
from torch import Tensor

from core_engine.assembly.engine import Engine
from core_engine.errors import EngineError
from core_engine.host.host import PluginHost
from core_engine.recipe.schema import Recipe
from core_engine.training.checkpoint import CORE_FILE, Checkpoint, load_state, newest_checkpoint

log = structlog.get_logger("core_engine.run")


@frozen
class Proof:
    """``compared``: how many values, each a tensor or a number, the last checkpoint holds. ``difference``: the first
    one that differs, in words; None where none does. ``points``: the steps after which the run was interrupted; where
    there is a difference, the first one that is enough for it.
    """

    steps: int
    points: Sequence[int]
    compared: int
    difference: str | None


def prove(recipe: Recipe, host: PluginHost, *, steps: int, points: int, seed: int = 0) -> Proof:
    """Trains ``steps`` steps straight, and again with interruptions after ``points`` random ones of them, each gone on
    from by an engine built anew, and compares all that the last checkpoints hold.

    Global random generators are set to something else before each engine: nothing may hang on them. EngineError where
    the recipe cannot be run, or has no room for that many interruptions.
    """
    if not 1 <= points < steps:
        raise EngineError(f"{points} interruptions need more steps than {steps}, and there must be one at least")
    chosen = sorted(random.Random(seed).sample(range(1, steps), points))  # noqa: S311
    recipe = attrs.evolve(
        recipe,
        train=attrs.evolve(recipe.train, epochs=None, max_steps=steps, max_time=None),
        evaluation=attrs.evolve(recipe.evaluation, baselines=[]),
        loggers=[],
    )
    with tempfile.TemporaryDirectory() as folder:
        straight = _final_state(recipe, host, Path(folder, "straight"), ())
        interrupted = _final_state(recipe, host, Path(folder, "all"), chosen)
        difference = first_difference(straight, interrupted)
        if difference is not None and points > 1:
            for point in chosen:
                alone = first_difference(straight, _final_state(recipe, host, Path(folder, str(point)), [point]))
                if alone is not None:
                    difference, chosen = alone, [point]
                    break
    return Proof(steps, chosen, len(straight), difference)


def _final_state(recipe: Recipe, host: PluginHost, output: Path, points: Sequence[int]) -> dict[str, Any]:
    """Of the last checkpoint of a run that is interrupted after each of these steps."""
    recipe = attrs.evolve(recipe, output=output)
    run_dir = None
    for number, point in enumerate([*points, None]):
        _scramble(number)
        engine = Engine.from_loaded(recipe, host)
        engine.run(run_dir, should_stop=lambda step, point=point: step == point)  # type: ignore[misc]
        run_dir = engine.run_dir
    assert run_dir is not None  # noqa: S101  (for mypy: a run that ended has a folder)
    return state_of(newest_checkpoint(run_dir, "step"))


def state_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Path -> tensor or number, of everything that a step checkpoint holds."""
    weights = load_file(checkpoint.path / CORE_FILE)
    return {f"core.{name}": value for name, value in weights.items()} | dict(_flat("", load_state(checkpoint)))


def _scramble(number: int) -> None:
    seed = random.SystemRandom().getrandbits(31) + number
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Path -> value of all that is no mapping or list."""
    if isinstance(value, Mapping):
        entries: Any = value.items()
    elif isinstance(value, list | tuple):
        entries = enumerate(value)
    else:
        yield prefix, value
        return
    for key, inner in entries:
        yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)


def first_difference(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Of two flat states: what differs first, in the order of ``wanted``; None where they are equal bit for bit."""
    for name, value in wanted.items():
        if name not in found:
            return f"{name} is only in the run that was not interrupted"
        other = found[name]
        if isinstance(value, Tensor) and isinstance(other, Tensor):
            if value.shape != other.shape or value.dtype != other.dtype:
                return f"{name} is {value.dtype} {list(value.shape)} and {other.dtype} {list(other.shape)}"
            if not torch.equal(_bits(value), _bits(other)):
                furthest = (value.double() - other.double()).abs().max()
                return f"{name}, a tensor of shape {list(value.shape)}, differs by up to {furthest:.3g}"
        elif not (value == other or (value != value and other != other)):
            return f"{name} is {value!r} and {other!r}"
    more = found.keys() - wanted.keys()
    return f"{min(more)} is only in the run that was interrupted" if more else None


def _bits(tensor: Tensor) -> Tensor:
    """As integers, since NaN is not equal to itself."""
    return tensor.contiguous().flatten().view(torch.uint8) if tensor.numel() else tensor
