"""What a sweep is going to try, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
from attrs import frozen

from core_engine.errors import EngineError, RecipeError
from core_engine.host.host import PluginHost
from core_engine.recipe.load import load_recipe
from core_engine.recipe.lock import recipe_to_source
from core_engine.recipe.nodes import Mark, Problem
from core_engine.recipe.schema import Recipe
from core_engine.sweep.space import Choices, Range, Space, Value, read_space
from core_engine.training.stopping import Monitor

#: A grid of more combinations is a slip of the pen.
MAX_COMBINATIONS = 10_000


@frozen
class Plan:
    """``recipe``: what values are put into. ``trials``: how many are made in all. ``started_in``: the folder that
    relative paths in the words are relative to.
    """

    recipe: Recipe
    space: Space
    trials: int
    started_in: Path

    def recipe_with(self, values: Mapping[str, Value], host: PluginHost) -> Recipe:
        """The recipe of the trial with these values, under the sweep's own name and output. RecipeError."""
        # Overrides of every trial once more, since one may stand after a value that it is meant to change.
        words = self.space.overrides(values)
        recipe = load_recipe(recipe_to_source(self.recipe), words, host, folder=self.started_in).recipe
        if not any(word.strip().startswith("evaluation") for word in words):
            # What a baseline scores on the test split is no part of choosing.
            recipe = attrs.evolve(recipe, evaluation=attrs.evolve(recipe.evaluation, baselines=[]))
        return attrs.evolve(recipe, name=self.recipe.name, output=self.recipe.output)

    @property
    def monitor(self) -> Monitor:
        return Monitor(self.recipe.train.monitor, groups=True)


def make_plan(source: Path | str, words: Sequence[str], trials: int | None, host: PluginHost) -> Plan:
    """Reads and checks a sweep of the recipe. RecipeError for what is wrong with recipe, words or values; EngineError
    where ``trials``, the number to make of a space with a range, is missing or has no meaning.
    """
    space = read_space(words)
    recipe = load_recipe(source, space.fixed, host).recipe
    plan = Plan(recipe, space, _trials(space, trials), Path.cwd())
    check_plan(plan, host)
    return plan


def check_plan(plan: Plan, host: PluginHost) -> None:
    """RecipeError where values give no valid recipe, or the same one."""
    problems = [problem for word in plan.space.searched for problem in _problems(plan, word, host)]
    if problems:
        raise RecipeError(list(dict.fromkeys(problems)))
    if plan.space.is_grid:
        for values in plan.space.combinations():
            plan.recipe_with(values, host)


def _trials(space: Space, asked: int | None) -> int:
    if space.is_grid:
        if asked is not None:
            raise EngineError(f"--trials {asked}: lists are tried in all {space.size} combinations; remove it")
        if space.size > MAX_COMBINATIONS:
            raise EngineError(
                f"{space.size} combinations; {MAX_COMBINATIONS} are the most: give fewer values, or ranges and --trials"
            )
        return space.size
    if asked is None:
        raise EngineError("a range has no end of values: say how many trials to make with --trials N")
    if asked < 1:
        raise EngineError(f"--trials {asked}: a sweep makes one trial at least")
    return asked


def _problems(plan: Plan, word: Choices | Range, host: PluginHost) -> Iterator[str]:
    """What is wrong with the word's values, each set beside the first ones of the other words."""
    first: dict[str, Value] = {other.key: other.probes[0] for other in plan.space.searched}
    mark = Mark(f"override {word.word!r}")
    made: list[Recipe] = []
    for value in word.probes:
        try:
            recipe = plan.recipe_with({**first, word.key: value}, host)
        except RecipeError as error:
            # With a key that does not exist, the other values would only repeat it.
            yield from error.problems
            return
        if recipe.train.monitor != plan.recipe.train.monitor:
            yield str(Problem(mark, word.key, "cannot be searched: trials are compared by it; give one metric"))
            return
        if recipe in made:
            same = word.probes[made.index(recipe)]
            what = f"{same} and {value} make the same trial; give values that differ and that no later word replaces"
            yield str(Problem(mark, word.key, what))
            return
        made.append(recipe)
