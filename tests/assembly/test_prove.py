"""Interrupted at twenty random steps, mid-epoch or not, a run ends with the same bits as straight through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from torch import Tensor

from core_engine import Component, LossContext, hookimpl
from core_engine.assembly.prove import Proof, prove
from core_engine.errors import EngineError
from core_engine.host.host import PluginHost
from core_engine.host.registry import Provider
from core_engine.recipe.load import load_recipe

ROOT = Path(__file__).parents[2]
COMMON = """
lattice: {{size: [2, 2, 2], channels: 16,
  kernel: {{hidden: 32, dropout: 0.1, update_probability: 0.9, state_noise: 0.05}}}}
reshape: {{type: projection, channels: 8, init: principal, rank: 2}}
train: {{batch_size: 32, accumulate: 2, ema: 0.9, evaluate_every: 2, early_stopping: {{patience: 50}},
  schedule: {{type: plateau, patience: 1}}}}
"""
RECIPES = {
    "autoencoder": "extends: {configs}/autoencoder.yaml" + COMMON,
    "dialogue": "extends: {configs}/quickstart.yaml\ndata: {{difficulty: {{type: similarity}}}}\n"
    "loss: [{{type: curriculum, loss: {{type: info_nce, temperature: 0.05}}}}, {{type: uniformity, weight: 0.1}}]\n"
    "sampler: {{type: grouped}}\nnegatives: {{type: hard, count: 2, refresh_every: 2}}" + COMMON,
    "mixed": "extends: {configs}/mixed.yaml\nmode: {{noise: 0.3, autoencoder_share: {{start: 0.6, end: 0.2}}}}\n"
    "data: {{difficulty: {{type: length}}}}\nsampler: {{type: curriculum}}\n"
    "loss: [{{type: info_nce, learned_temperature: true, memory_bank: 64}}]\n"
    "negatives: {{type: hard, count: 2, refresh_every: 3}}" + COMMON,
}

Prove = Callable[..., Proof]


@pytest.fixture
def proof_of(tmp_path: Path) -> Prove:
    def run(text: str, host: PluginHost | None = None, **options: Any) -> Proof:
        path = tmp_path / "recipe.yaml"
        path.write_text(text.format(configs=ROOT / "configs"))
        host = host or PluginHost.discover()
        return prove(load_recipe(path, [], host).recipe, host, **options)

    return run


@pytest.mark.parametrize("mode", RECIPES)
@pytest.mark.slow
def test_the_bundled_parts_keep_all_they_need(mode: str, proof_of: Prove) -> None:
    proof = proof_of(RECIPES[mode], steps=48, points=20)
    assert proof.difference is None
    assert len(proof.points) == 20
    assert proof.compared > 100


class Forgetful:
    """A loss that hangs on how often it was asked, and keeps that nowhere."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, output: Tensor, target: Tensor, batch: object) -> Tensor:
        self.calls += 1
        return (output - target).square().mean() * self.calls


@frozen
class ForgetfulLoss:
    """A loss of a careless author."""

    def build(self, context: LossContext) -> Forgetful:
        return Forgetful()


class Careless:
    @hookimpl
    def losses(self) -> list[Component]:
        return [Component("forgetful", ForgetfulLoss)]


def test_a_part_that_forgets_is_found_by_what_it_changes_first(proof_of: Prove) -> None:
    host = PluginHost.discover()
    host.register(Careless(), Provider("careless", "tests", "0"))
    proof = proof_of("extends: {configs}/quickstart.yaml\nloss: [{{type: forgetful}}]\n", host, steps=12, points=3)
    assert proof.difference is not None
    assert proof.difference.startswith("core.")
    assert "differs by up to" in proof.difference
    assert len(proof.points) == 1, "one interruption is enough"


@pytest.mark.parametrize(("steps", "points"), [(5, 5), (5, 0), (1, 1)])
def test_there_must_be_room_for_the_interruptions(proof_of: Prove, steps: int, points: int) -> None:
    with pytest.raises(EngineError, match="interruptions need more steps"):
        proof_of(RECIPES["dialogue"], steps=steps, points=points)
