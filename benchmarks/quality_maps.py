"""The rows of benchmarks/quality.py: maps, fitted to a set's training split."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import attrs
import torch
from attrs import frozen
from quality_sets import NOISE, SETS, Set
from torch import Tensor, nn

from core_engine import Engine, Splits
from core_engine.assembly.build import build_core, build_criterion, built
from core_engine.contracts.contexts import SamplerContext
from core_engine.contracts.objects import Sampler
from core_engine.data.noise import noise_std, with_noise
from core_engine.evaluation.adapters import score, train_adapter
from core_engine.evaluation.baselines import BASELINES
from core_engine.evaluation.bodies import BODIES, LowRankUpdate
from core_engine.evaluation.metrics import evaluate
from core_engine.host.host import PluginHost
from core_engine.memory.tables import cross_products, mean_row
from core_engine.recipe.load import load_recipe
from core_engine.recipe.lock import recipe_to_dict
from core_engine.recipe.modes import Autoencoder
from core_engine.recipe.schema import Recipe
from core_engine.run.result import Result
from core_engine.training.criterion import Criterion
from core_engine.training.inference import apply_core
from core_engine.training.rows import TrainingRows

Control = Literal["none", "shuffled_targets", "frozen_lattice"]
CONFIGS = Path(__file__).resolve().parents[1] / "configs"
#: The recipe of a set's lattice, and whose loss, sampler and batches its adapters have.
RECIPES = {"retrieval": "faq", "denoising": "faq_denoising"}
#: Batch sizes, None for the recipe's, and multiples of its usual learning rate, among which an adapter's are chosen on
#: the validation split. Small batches of one group are what FAQ gains from, and what the other sets lose by.
SETTINGS: tuple[tuple[int | None, float], ...] = ((256, 1.0), (256, 2.5), (None, 2.5))
#: An adapter of more weights is tried at the first of them alone: the others would take it an hour.
LARGE = 5_000_000
#: Of parameters, offset included.
BUDGET = 40_000


@frozen(eq=False)
class Fitted:
    """``output [n, D]`` for the test rows."""

    output: Tensor
    parameters: int


def recipe_of(name: str, *overrides: str) -> Recipe:
    """The recipe of that name, without its data, which a set gives. Held-out inputs of a set are noisy already."""
    stand_in = ["data.train={type: quickstart}", "data.validation=null", "data.test=null"]
    recipe = load_recipe(CONFIGS / f"{name}.yaml", [*stand_in, *overrides], PluginHost.discover()).recipe
    if isinstance(recipe.mode, Autoencoder):
        recipe = attrs.evolve(recipe, mode=attrs.evolve(recipe.mode, evaluation_noise=0.0))
    return recipe


def lock_of(name: str, *overrides: str) -> str:
    """The complete recipe, as JSON, but for where its runs go."""
    return json.dumps(recipe_to_dict(recipe_of(name, *overrides)) | {"output": ""}, sort_keys=True)


def criterion_and_sampler(recipe: Recipe, data: Splits) -> tuple[Criterion, Sampler | None]:
    sampler = None if recipe.sampler is None else built(recipe.sampler, SamplerContext())
    return build_criterion(recipe, data.train.targets.shape[1]), sampler


def parameters_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def noise_of(given: Set, data: Splits) -> float:
    return noise_std(data.train.inputs, NOISE) if given.task == "denoising" else 0.0


def closed_form(name: str, given: Set, data: Splits, seed: int) -> Fitted:
    train = with_noise(data.train, noise_of(given, data), seed, "baselines")
    dims = train.inputs.shape[1] * train.targets.shape[1]
    output = BASELINES[name](train, data.validation, given.metric)(data.test.inputs)
    return Fitted(output, dims if name in {"ridge", "procrustes"} else 0)


def wiener(given: Set, data: Splits, seed: int) -> Fitted:
    """The best linear map from a noisy row to itself, had all rows the covariance C of the training rows:
    ``(C + s² I)⁻¹ C`` around their mean, s being the noise's standard deviation (Wiener, 1949). In float64.
    """
    clean = data.train.inputs
    mean = mean_row(clean)
    covariance = cross_products(clean, clean, mean, mean) / len(clean)
    unit = torch.eye(len(covariance), dtype=covariance.dtype)
    matrix = torch.linalg.solve(covariance + noise_of(given, data) ** 2 * unit, covariance).to(clean.dtype)
    return Fitted((data.test.inputs - mean) @ matrix + mean, matrix.numel())


def whitening(given: Set, data: Splits, seed: int) -> Fitted:
    """What can be had without a training pair: ``(C + λ m I)^(-1/2)`` around the questions' mean, C their covariance
    over the training rows and m its mean eigenvalue (Su et al., 2021, "Whitening Sentence Representations"), scaled so
    that training rows keep their length, and around the targets' mean. λ is the one of 0.1, 1 and 3 that is best on
    the validation split. In float64.
    """
    train = data.train.inputs
    mean, target_mean = mean_row(train), mean_row(data.train.targets)
    values, axes = torch.linalg.eigh(cross_products(train, train, mean, mean))

    def apply(ridge: float, rows: Tensor) -> Tensor:
        scales = (values + ridge * values.mean()).rsqrt()
        scales = scales * (values.sum() / (values * scales.square()).sum()).sqrt()
        return ((rows - mean).double() @ axes * scales @ axes.T).to(rows.dtype) + target_mean

    def reached(ridge: float) -> float:
        return evaluate(apply(ridge, data.validation.inputs), data.validation)[given.metric]

    return Fitted(apply(max((0.1, 1.0, 3.0), key=reached), data.test.inputs), 0)


#: What an adapter puts between the means and scales of both sides.
ADAPTERS = {
    **BODIES,
    "low_rank_40k": lambda input_dim, output_dim, generator: LowRankUpdate(
        input_dim, (BUDGET - input_dim) // (2 * input_dim), generator
    ),
}


def adapter(
    name: str, given: Set, data: Splits, seed: int, recipe_name: str | None = None, metric: str | None = None
) -> Fitted:
    """With the objective of that recipe and the best epoch by that metric; by default those of the set."""
    train, validation = data.train, data.validation
    recipe, metric = recipe_of(recipe_name or RECIPES[given.task]), metric or given.metric
    loss, sampler = criterion_and_sampler(recipe, data)
    arrange = TrainingRows(train, len(train), seed, sampler=sampler).order
    best, best_score = None, -math.inf
    for batch_size, rate in SETTINGS:
        if best is not None and parameters_of(best) > LARGE:
            break
        fitted = train_adapter(
            name,
            train,
            validation,
            loss=loss,
            metric=metric,
            seed=seed,
            arrange=arrange,
            noise=noise_of(given, data),
            rate=rate,
            batch_size=batch_size or recipe.train.batch_size,
            bodies=ADAPTERS,
        )
        reached = score(fitted, validation, metric)
        if reached > best_score:
            best, best_score = fitted, reached
    assert best is not None, "there are settings"
    return Fitted(apply_core(best, data.test.inputs), parameters_of(best))


def trained_lattice(
    name: str, given: Set, data: Splits, seed: int, *overrides: str, control: Control = "none"
) -> tuple[nn.Module, Result]:
    """The core with the weights of its best epoch, and how it scored."""
    recipe = recipe_of(name, f"seed={seed}", f"train.monitor={given.metric}", *overrides)
    core = build_core(recipe, data.train.inputs.shape[1], data.train.targets.shape[1])
    loss, sampler = criterion_and_sampler(recipe, data)
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(
            data=data,
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
    name: str | None,
    given: Set,
    data: Splits,
    seed: int,
    overrides: tuple[str, ...] = (),
    control: Control = "none",
) -> Fitted:
    """By the recipe of that name, or of the set's task."""
    core, result = trained_lattice(name or RECIPES[given.task], given, data, seed, *overrides, control=control)
    return Fitted(apply_core(core, data.test.inputs), result.parameters)


def shortcut_alone(given: Set, data: Splits, seed: int) -> Fitted:
    """The same hybrid without its lattice, ``control: frozen_lattice`` of the recipe: cells that are not trained leave
    the state as it is, and then nothing but the shortcut reaches the output.
    """
    core, _ = trained_lattice(RECIPES[given.task], given, data, seed, control="frozen_lattice")
    return Fitted(apply_core(core, data.test.inputs), parameters_of(core.get_submodule("shortcut")))


@frozen
class Map:
    """``sets``: to which it applies. ``seeds``: with how many of the seeds it is fitted; None for all. ``recipe``: what
    it takes its settings from; None for the recipe of the set's task.
    """

    fit: Callable[[Set, Splits, int], Fitted]
    sets: frozenset[str]
    seeds: int | None = None
    recipe: str | None = None

    def lock(self, given: Set) -> str:
        return lock_of(self.recipe or RECIPES[given.task])


def of_recipe(name: str, sets: frozenset[str], *overrides: str) -> Map:
    return Map(partial(lattice, name, overrides=overrides), sets, recipe=name)


EVERY = frozenset(SETS)
ONE_DIMENSION = frozenset(name for name, given in SETS.items() if given.one_dimension)
RETRIEVAL = frozenset(name for name, given in SETS.items() if given.task == "retrieval")
DENOISING = EVERY - RETRIEVAL
LOW_RANK = ("low_rank_16", "low_rank_64", "low_rank_40k")
FAQ_ALONE = frozenset({"faq"})
#: Where the bare lattice and its control stand.
BARE_SETS = frozenset({"faq", "wiki", "faq_weak", "wiki_weak"})
#: The lattice with nothing beside it, and a reshape that learns, at the rate that suits it.
BARE = ("lattice.shortcut=null", "reshape.rank=2", "train.optimizer.lr=2.5e-3")

MAPS: dict[str, Map] = {
    **{
        name: Map(partial(closed_form, name), EVERY if name in {"ridge", "procrustes"} else ONE_DIMENSION, seeds=1)
        for name in BASELINES
    },
    "whitening": Map(whitening, ONE_DIMENSION & RETRIEVAL, seeds=1),
    "wiener": Map(wiener, DENOISING, seeds=1),
    # Gains and the linear adapter start from the identity, so that a seed is an order of rows.
    "gains": Map(partial(adapter, "gains"), ONE_DIMENSION, seeds=1),
    **{name: Map(partial(adapter, name), ONE_DIMENSION & RETRIEVAL) for name in LOW_RANK},
    "linear": Map(partial(adapter, "linear"), EVERY, seeds=1),
    "mlp": Map(partial(adapter, "mlp"), EVERY),
    "lattice:default": of_recipe("faq", RETRIEVAL),
    "lattice:40k": of_recipe("faq_40k", RETRIEVAL),
    "lattice:cosine": of_recipe("faq_cosine", FAQ_ALONE, "train.monitor=cosine"),
    "mlp:cosine": Map(
        partial(adapter, "mlp", recipe_name="faq_cosine", metric="cosine"), FAQ_ALONE, recipe="faq_cosine"
    ),
    "lattice:denoising": of_recipe("faq_denoising", DENOISING),
    "shortcut": Map(shortcut_alone, EVERY),
    "lattice:bare": Map(partial(lattice, None, overrides=BARE), BARE_SETS, seeds=1),
    "control:frozen_lattice": Map(partial(lattice, None, overrides=BARE, control="frozen_lattice"), BARE_SETS, seeds=1),
    "control:shuffled_targets": Map(partial(lattice, None, control="shuffled_targets"), EVERY, seeds=1),
}
