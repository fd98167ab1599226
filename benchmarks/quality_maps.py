"""The rows of benchmarks/quality.py: maps, fitted to a set's training split."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from attrs import frozen
from quality_sets import Set
from torch import Tensor, nn

from core_engine import Engine
from core_engine.assembly.build import build_core, build_criterion, built
from core_engine.contracts.contexts import SamplerContext
from core_engine.contracts.objects import Sampler
from core_engine.evaluation.adapters import train_adapter
from core_engine.evaluation.baselines import BASELINES, why_left_out
from core_engine.evaluation.bodies import BODIES
from core_engine.evaluation.metrics import evaluate
from core_engine.host.host import PluginHost
from core_engine.recipe.load import load_recipe
from core_engine.recipe.schema import Recipe
from core_engine.run.result import Result
from core_engine.training.criterion import Criterion
from core_engine.training.inference import apply_core
from core_engine.training.rows import TrainingRows

RECIPES = Path(__file__).resolve().parent / "recipes"
#: An adapter's learning rate is chosen on the validation split, from its usual one times these.
RATES = (1.0, 2.5)


@frozen(eq=False)
class Fitted:
    """``output [n, D]`` for the test rows."""

    output: Tensor
    parameters: int


def metric_of(given: Set) -> str:
    return "within_mrr" if given.within else "mrr@10"


def recipe_of(name: str, *overrides: str) -> Recipe:
    """The recipe of that name; it says nothing of data, which a set gives."""
    stand_in = ["data={train: {type: quickstart}}", "teachers={minilm: {type: minilm}}", "teacher=minilm"]
    return load_recipe(RECIPES / f"{name}.yaml", [*stand_in, *overrides], PluginHost.discover()).recipe


def criterion_and_sampler(recipe: Recipe, given: Set) -> tuple[Criterion, Sampler | None]:
    sampler = None if recipe.sampler is None else built(recipe.sampler, SamplerContext())
    return build_criterion(recipe, given.splits.train.targets.shape[1]), sampler


def closed_form(name: str, given: Set, seed: int) -> Fitted | None:
    train = given.splits.train
    if why_left_out(name, train) is not None:
        return None
    dims = train.inputs.shape[1] * train.targets.shape[1]
    output = BASELINES[name](train, given.splits.validation)(given.splits.test.inputs)
    return Fitted(output, dims if name in {"ridge", "procrustes"} else 0)


def adapter(name: str, given: Set, seed: int) -> Fitted | None:
    train, validation = given.splits.train, given.splits.validation
    if why_left_out(name, train) is not None:
        return None
    recipe = recipe_of("lattice")
    loss, sampler = criterion_and_sampler(recipe, given)
    arrange = TrainingRows(train, len(train), seed, sampler=sampler).order
    metric = metric_of(given)
    tried = [
        train_adapter(
            name,
            train,
            validation,
            loss=loss,
            metric=metric,
            seed=seed,
            arrange=arrange,
            rate=rate,
            batch_size=recipe.train.batch_size,
        )
        for rate in RATES
    ]
    with torch.no_grad():
        best = max(tried, key=lambda one: evaluate(one(validation.inputs), validation)[metric])
    parameters = sum(parameter.numel() for parameter in best.parameters())
    return Fitted(apply_core(best, given.splits.test.inputs), parameters)


def trained_lattice(
    name: str,
    given: Set,
    seed: int,
    *overrides: str,
    control: Literal["none", "shuffled_targets", "frozen_lattice"] = "none",
) -> tuple[nn.Module, Result]:
    """The core with the weights of its best epoch, and how it scored."""
    train = given.splits.train
    recipe = recipe_of(name, f"seed={seed}", f"train.monitor={metric_of(given)}", *overrides)
    core = build_core(recipe, train.inputs.shape[1], train.targets.shape[1])
    loss, sampler = criterion_and_sampler(recipe, given)
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(
            data=given.splits,
            core=core,
            loss=loss,
            sampler=sampler,
            train=recipe.train,
            mode=recipe.mode,
            seed=seed,
            output=Path(folder),
            baselines=(),
            control=control,
        )
        result = engine.run()
    assert result is not None
    return engine.core, result


def lattice(
    name: str,
    given: Set,
    seed: int,
    *overrides: str,
    control: Literal["none", "shuffled_targets", "frozen_lattice"] = "none",
) -> Fitted:
    core, result = trained_lattice(name, given, seed, *overrides, control=control)
    return Fitted(apply_core(core, given.splits.test.inputs), result.parameters)


#: Name -> the map fitted to a set by a seed, or None where it does not apply.
MAPS: dict[str, Callable[[Set, int], Fitted | None]] = {
    **{name: partial(closed_form, name) for name in BASELINES},
    **{name: partial(adapter, name) for name in BODIES},
    "lattice:default": partial(lattice, "lattice"),
    "control:frozen_lattice": partial(lattice, "lattice", control="frozen_lattice"),
    "control:shuffled_targets": partial(lattice, "lattice", control="shuffled_targets"),
}
#: Those that are not the same for every seed.
SEEDED = {name for name in MAPS if name not in BASELINES}
