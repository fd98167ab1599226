"""Words that follow from figures."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
import torch

from core_engine.recipe.load import load_recipe
from core_engine.recipe.modes import Autoencoder
from core_engine.recipe.schema import Recipe
from core_engine.report.verdict import Comparison, Verdict, compare, judge, verdict_metric

GROUPS = torch.arange(40) // 2


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(
        {
            "data": {"train": {"type": "quickstart"}},
            "teachers": {"t": {"type": "minilm"}},
            "teacher": "t",
            "mode": {"type": "dialogue"},
            "reshape": {"type": "linear", "channels": 24},
            "lattice": {"size": [4, 2, 2], "channels": 24, "kernel": {"type": "stencil"}},
            "loss": [{"type": "mse"}],
        },
        check=False,
    ).recipe


def found(name: str, low: float, high: float) -> Comparison:
    return Comparison(name, 0.5, 0.5 - (low + high) / 2, low, high, paired=True)


def verdict(recipe: Recipe, *comparisons: Comparison, best: str | None = "mlp", **options: Any) -> Verdict:
    options = {"constant": False, "parameters": {"core": 40, "mlp": 1234}, **options}
    return judge(recipe, "mrr@10", {one.name: one for one in comparisons}, best, **options)


def test_a_difference_row_by_row() -> None:
    other = torch.rand(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    paired = compare("identity", other + 0.25, other, GROUPS, float(other.mean()) + 0.25)
    # The difference is 0.25 in each row, so no sample of groups gives another mean.
    assert (paired.ahead, paired.low, paired.high) == pytest.approx((0.25, 0.25, 0.25))
    assert (paired.word, paired.paired) == ("better than", True)
    assert compare("identity", other, other + 0.25, GROUPS, float(other.mean())).word == "worse than"
    assert compare("identity", other, other, GROUPS, float(other.mean())).word == "about level with"


def test_a_difference_to_a_figure_alone() -> None:
    core = torch.tensor([0.0, 1.0] * 20, dtype=torch.float64)
    level = compare("mlp", core, 0.5, None, 0.5)
    assert level.low < 0 < level.high
    assert (level.ahead, level.word, level.paired) == (0.0, "about level with", False)
    assert compare("mlp", core, 0.1, None, 0.5).word == "better than"
    assert compare("mlp", core, 0.9, None, 0.5).word == "worse than"
    one_group = compare("mlp", core, 0.1, torch.zeros(40, dtype=torch.int64), 0.5)
    assert math.isnan(one_group.low)
    assert one_group.word == "not told apart from"


@pytest.mark.parametrize(
    ("identity", "mlp", "headline", "tone"),
    [
        (
            (0.1, 0.2),
            (0.1, 0.2),
            "Good: the core is better than the teacher as it is, and better than the best",
            "good",
        ),
        ((0.1, 0.2), (-0.1, 0.2), "Good: the core is better than the teacher as it is, and about level with", "good"),
        ((0.1, 0.2), (-0.2, -0.1), "Mixed: the core is better than the teacher as it is, but worse than", "level"),
        ((-0.1, 0.2), (-0.1, 0.2), "No clear gain: the core is about level with the teacher as it is", "level"),
        ((-0.2, -0.1), (-0.2, -0.1), "Not good: the core is worse than the teacher as it is", "bad"),
        ((math.nan, math.nan), (-0.2, -0.1), "Not told: all rows are of one group", "level"),
    ],
)
def test_headlines(
    recipe: Recipe, identity: tuple[float, float], mlp: tuple[float, float], headline: str, tone: str
) -> None:
    told = verdict(recipe, found("identity", *identity), found("mlp", *mlp), found("untrained core", 0.1, 0.2))
    assert told.headline.startswith(headline)
    assert told.tone == tone
    assert [one.name for one in told.comparisons] == ["identity", "mlp", "untrained core"]
    assert told.remarks == []


def test_parameters_are_named_beside_the_best_baseline(recipe: Recipe) -> None:
    told = verdict(recipe, found("identity", 0.1, 0.2), found("mlp", -0.1, 0.1))
    assert told.headline.endswith("the trained two-layer adapter (1,234 parameters; the core has 40).")


def test_a_level_core_says_what_beats_it(recipe: Recipe) -> None:
    told = verdict(recipe, found("identity", -0.1, 0.1), found("mlp", -0.2, -0.1))
    assert told.headline.endswith("It is worse than the best baseline, the trained two-layer adapter.")


def test_a_constant_output_is_broken_whatever_the_figures(recipe: Recipe) -> None:
    told = verdict(recipe, found("identity", 0.1, 0.2), constant=True)
    assert (told.headline.split(":")[0], told.tone) == ("Broken", "bad")


def test_what_must_be_known_besides(recipe: Recipe) -> None:
    control = attrs.evolve(recipe, control="shuffled_targets")
    assert "control run (shuffled_targets)" in verdict(control, found("identity", 0.1, 0.2)).remarks[0]
    alone = verdict(recipe, best=None)
    assert "nothing to compare" in alone.headline
    assert alone.comparisons == []
    # Without noise on its inputs, the identity gives an autoencoder's targets exactly.
    copying = attrs.evolve(recipe, mode=Autoencoder())
    told = verdict(copying, found("identity", -0.2, -0.1), found("untrained core", 0.1, 0.2), best="identity")
    assert told.headline == "Good: the core is better than the untrained core."
    assert "asks for the input back" in told.remarks[0]


def test_what_a_run_is_judged_by(recipe: Recipe) -> None:
    counts, none = torch.tensor([math.nan, 0.5]), torch.tensor([math.nan, math.nan])
    within = attrs.evolve(recipe, train=attrs.evolve(recipe.train, monitor="within_recall@1"))
    copying = attrs.evolve(within, mode=Autoencoder())
    assert verdict_metric(recipe, {"within_mrr": counts}) == "mrr@10"
    assert verdict_metric(within, {"within_mrr": counts}) == "within_mrr"
    assert verdict_metric(within, {"within_mrr": none}) == "mrr@10"
    assert verdict_metric(within, {}) == "mrr@10"
    assert verdict_metric(copying, {"within_mrr": counts}) == "cosine"

    options: Any = {"constant": False, "parameters": {}}
    worse = Comparison("identity", 0.34, 0.36, -0.03, -0.01, paired=True)
    told = judge(within, "within_mrr", {"identity": found("identity", 0.1, 0.2)}, None, **options, among_all=worse)
    assert told.headline.startswith("Good")
    assert (
        "Among the answers of all groups it is worse than the teacher as it is: mrr@10 0.340 against 0.360"
        in (told.remarks[0])
    )
    elsewhere = judge(within, "mrr@10", {}, None, **options)
    assert "chosen by within_recall@1, which no row here has" in elsewhere.remarks[0]
