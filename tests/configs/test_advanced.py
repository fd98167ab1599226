"""configs/advanced.yaml with MiniLM and two local models in place of those from the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t
from core_engine_teachers.locate import locate_minilm

from core_engine import Engine

RECIPE = Path(__file__).parents[2] / "configs" / "advanced.yaml"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """DistilBERT of 48 and RoBERTa of 64 dimensions, with random weights and MiniLM's tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = t.AutoTokenizer.from_pretrained(locate_minilm(None).path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built: dict[str, Any] = {
            "distilbert": t.DistilBertModel(
                t.DistilBertConfig(vocab_size=len(tokenizer), dim=48, hidden_dim=96, n_layers=2, n_heads=4)
            ),
            "roberta": t.RobertaModel(
                t.RobertaConfig(
                    vocab_size=len(tokenizer),
                    hidden_size=64,
                    intermediate_size=128,
                    num_hidden_layers=2,
                    num_attention_heads=4,
                    max_position_embeddings=514,
                    pad_token_id=0,
                )
            ),
        }
    for name, model in built.items():
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return {name: folder / name for name in built}


@pytest.fixture(scope="module")
def run(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[dict[str, Any]]]:
    """The result, and the lines of metrics.jsonl."""
    output = tmp_path_factory.mktemp("runs")
    overrides = [f"teachers.three.teachers.{name}.model={path}" for name, path in models.items()]
    result = Engine.from_recipe(RECIPE, [*overrides, f"output={output}", "evaluation.baselines=[linear]"]).run()
    assert result is not None
    lines = (result.run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return result, [json.loads(line) for line in lines]


def epochs(lines: list[dict[str, Any]], key: str) -> list[float]:
    return [line[key] for line in lines if line["kind"] == "train"]


def test_it_trains_and_stops_where_it_should(run: tuple[Any, list[dict[str, Any]]]) -> None:
    result, lines = run
    assert result.parameters_without_gradient == []
    assert result.test["recall@1"] > 0.3
    assert epochs(lines, "loss")[-1] < epochs(lines, "loss")[0]
    stopped_early = "did not improve" in result.stopped or "reached the target" in result.stopped
    assert stopped_early or result.epochs == 20
    assert "linear" in result.baselines


def test_growth_is_reported_and_stays_in_training(run: tuple[Any, list[dict[str, Any]]]) -> None:
    data = run[0].data
    originals = data["rows"]["train"] - data["synthetic"]
    assert originals + data["rows"]["validation"] + data["rows"]["test"] == 300
    assert data["synthetic"] + data["dropped"]["train"]["synthetic_of_held_out"] == 300
    assert data["synthetic"] > 100


def test_three_teachers_weigh_one_together_in_every_epoch(run: tuple[Any, list[dict[str, Any]]]) -> None:
    result, lines = run
    assert {name: facts["dim"] for name, facts in result.teacher["further"].items()} == {
        "distilbert": 48,
        "roberta": 64,
    }
    names = [f"loss/multi_teacher/weight/{name}" for name in ("primary", "distilbert", "roberta")]
    weights = [epochs(lines, name) for name in names]
    for of_epoch in zip(*weights, strict=True):
        assert sum(of_epoch) == pytest.approx(1.0, abs=1e-5)
    assert weights[0][0] == pytest.approx(1 / 3, abs=1e-5)
    assert len({round(weight, 6) for weight in weights[0]}) > 1, "they adapt to the validation"


def test_the_curriculum_grows(run: tuple[Any, list[dict[str, Any]]]) -> None:
    _, lines = run
    seen, difficulty = epochs(lines, "rows_seen"), epochs(lines, "difficulty")
    assert seen == sorted(seen)
    assert difficulty[0] < difficulty[-1]
    assert seen[0] < 0.5


def test_each_objective_has_its_part_in_the_log(run: tuple[Any, list[dict[str, Any]]]) -> None:
    parts = {key for key in run[1][0] if key.startswith("loss/")}
    assert {f"loss/{name}" for name in ("info_nce", "triplet", "curriculum", "uniformity", "multi_teacher")} <= parts
