from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core_engine.host.host import PluginHost
from core_engine.sweep.plan import Plan, make_plan

ROOT = Path(__file__).parents[2]
MakePlan = Callable[..., Plan]


@pytest.fixture(scope="session")
def host() -> PluginHost:
    return PluginHost.discover()


@pytest.fixture
def plan_of(host: PluginHost) -> MakePlan:
    """The plan of a sweep of the quickstart recipe."""

    def plan(*words: str, trials: int | None = None) -> Plan:
        return make_plan(ROOT / "configs/quickstart.yaml", words, trials, host)

    return plan
