"""What the recipes claim on real data, on held-out groups, beside baselines and controls.

The figures that the baselines are compared with were measured once by another implementation on the same files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core_engine import Engine

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.data, pytest.mark.slow]

Row = dict[str, float]


@pytest.fixture(scope="session")
def run_recipe(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    def run(name: str, *overrides: str) -> Any:
        folder = tmp_path_factory.mktemp(name)
        result = Engine.from_recipe(ROOT / f"configs/{name}.yaml", [f"output={folder}", "loggers=[]", *overrides]).run()
        assert result is not None
        return result

    return run


@pytest.fixture(scope="session")
def faq(run_recipe: Any) -> Any:
    return run_recipe("faq")


def test_the_core_meets_its_figures_and_beats_the_untrained_one(faq: Any) -> None:
    assert faq.test["within_recall@1"] >= 0.93
    assert faq.test["within_mrr"] >= 0.958
    for metric in ("within_recall@1", "within_mrr"):
        assert faq.test[metric] > max(faq.untrained[metric], faq.baselines["identity"][metric])


def test_every_parameter_was_reached_by_a_gradient(faq: Any) -> None:
    assert faq.parameters_without_gradient == []
    assert faq.parameters == 112_544


#: cos, shuffled, centred, R@1, R@10, MRR@10, nDCG@10, and within the group R@1, MRR.
EXPECTED = {
    "identity": (0.646, 0.160, 0.601, 0.307, 0.512, 0.360, 0.395, 0.819, 0.881),
    "mean_shift": (0.671, 0.177, 0.601, 0.328, 0.511, 0.375, 0.407, 0.839, 0.892),
    "ridge": (0.749, 0.228, 0.680, 0.324, 0.516, 0.373, 0.406, 0.880, 0.923),
    "procrustes": (0.687, 0.178, 0.618, 0.333, 0.511, 0.380, 0.411, 0.853, 0.901),
}
METRICS = (
    *("cosine", "cosine_shuffled", "cosine_centred", "recall@1", "recall@10", "mrr@10", "ndcg@10"),
    *("within_recall@1", "within_mrr"),
)


@pytest.mark.parametrize("name", EXPECTED)
def test_baselines_agree_with_an_independent_measurement(faq: Any, name: str) -> None:
    for metric, expected in zip(METRICS, EXPECTED[name], strict=True):
        assert faq.baselines[name][metric] == pytest.approx(expected, abs=0.005), metric


@pytest.mark.parametrize(("name", "recall", "mrr"), [("linear", 0.905, 0.939), ("mlp", 0.914, 0.947)])
def test_adapters_are_no_worse_than_independent_ones_in_large_batches(
    faq: Any, name: str, recall: float, mrr: float
) -> None:
    """Those were trained in batches of 256, grouped by place; these may choose the smaller ones of the run."""
    assert faq.baselines[name]["within_recall@1"] > recall - 0.005
    assert faq.baselines[name]["within_mrr"] > mrr - 0.005


#: The lattice with nothing beside it, and a reshape that learns.
BARE = ("lattice.shortcut=null", "reshape.rank=2", "train.optimizer.lr=2.5e-3", "evaluation.baselines=[]")


def test_with_the_lattice_frozen_the_result_is_worse(faq: Any, run_recipe: Any) -> None:
    frozen = run_recipe("faq", *BARE, "control=frozen_lattice", "train.epochs=4")
    trained = run_recipe("faq", *BARE, "train.epochs=4")
    assert frozen.test["within_recall@1"] < trained.test["within_recall@1"] - 0.01
    assert frozen.test["within_recall@1"] < faq.test["within_recall@1"] - 0.03
    assert 0 < frozen.parameters < trained.parameters < faq.parameters


def test_shuffled_labels_teach_nothing(faq: Any, run_recipe: Any) -> None:
    shuffled = run_recipe("faq", "control=shuffled_targets", "evaluation.baselines=[]", "train.epochs=2")
    for metric in ("within_recall@1", "recall@1", "mrr@10"):
        assert shuffled.test[metric] <= faq.baselines["mean_shift"][metric]


def test_in_40_000_parameters(run_recipe: Any) -> None:
    result = run_recipe("faq_40k", "evaluation.baselines=[]", "train.epochs=4")
    assert result.parameters < 40_000
    assert result.test["within_recall@1"] > 0.90


def test_answers_as_near_as_can_be(run_recipe: Any) -> None:
    result = run_recipe("faq_cosine", "evaluation.baselines=[]", "train.epochs=4")
    assert result.test["cosine"] >= 0.75  # the ridge regression's is 0.749
    assert result.test["within_recall@1"] >= 0.87


def test_an_autoencoder_through_noisy_cells_does_not_copy(run_recipe: Any) -> None:
    result = run_recipe("faq_autoencoder")
    assert result.untrained["cosine"] < 0.75
    assert result.test["cosine"] > 0.90
    assert result.parameters_without_gradient == []


def test_a_denoising_autoencoder_beats_its_noisy_input(run_recipe: Any) -> None:
    result = run_recipe("faq_denoising", "train.epochs=4", "evaluation.baselines=[identity,ridge]")
    assert result.baselines["identity"]["cosine"] == pytest.approx(0.80, abs=0.005)
    assert result.test["cosine"] > result.baselines["ridge"]["cosine"]
    assert result.test["cosine"] > result.untrained["cosine"] + 0.05
