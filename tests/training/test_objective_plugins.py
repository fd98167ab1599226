"""A plugin's own sampler and negatives, named by a recipe."""

from __future__ import annotations

import types
from pathlib import Path

import torch
from attrs import frozen

from core_engine import Component, Engine, Epoch, NegativesContext, SamplerContext, Search, hookimpl
from core_engine.host.host import PluginHost
from core_engine.host.registry import Provider

ASKED: list[str] = []


@frozen
class Backwards:
    """The rows from the last to the first."""

    def build(self, context: SamplerContext) -> Backwards:
        return self

    def order(self, epoch: Epoch) -> torch.Tensor:
        ASKED.append("order")
        return torch.arange(epoch.rows).flip(0)


@frozen
class NextOne:
    """The target that stands next to the right one."""

    refresh_every: int = 1

    def build(self, context: NegativesContext) -> NextOne:
        return self

    def choose(self, search: Search) -> tuple[torch.Tensor, torch.Tensor]:
        ASKED.append("choose")
        rows = ((search.own + 1) % len(search.corpus))[:, None]
        return rows, torch.ones_like(rows, dtype=torch.bool)


@hookimpl
def samplers() -> list[Component]:
    return [Component("backwards", Backwards)]


@hookimpl
def negatives() -> list[Component]:
    return [Component("next_one", NextOne)]


def test_a_recipe_may_name_them(tmp_path: Path) -> None:
    plugin = types.SimpleNamespace(samplers=samplers, negatives=negatives)
    host = PluginHost.discover()
    host.register(plugin, Provider("mine", "mine", "1"))
    recipe = Path(__file__).parents[2] / "configs" / "quickstart.yaml"
    overrides = ["sampler={type: backwards}", "negatives={type: next_one}", "train.epochs=2", f"output={tmp_path}"]
    result = Engine.from_recipe(recipe, [*overrides, "loggers=[]", "evaluation.baselines=[]"], host).run()
    assert result is not None
    assert ASKED == ["order", "choose"] * 2
