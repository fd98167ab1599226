"""Registering plugins: what they supply, whose it is, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import attrs
import pytest
from attrs import frozen

from core_engine import Component, Kind, RunInfo, hookimpl
from core_engine.errors import PluginError
from core_engine.host.host import PluginHost
from core_engine.host.registry import Provider

ACME = Provider("acme", "acme-package", "1.2")


@frozen
class Thing:
    """A thing with everything that any kind asks for."""

    def embedding_dim(self) -> int | None: ...
    def lattice_channels(self, context: Any) -> int:
        return 1

    def build(self, context: Any) -> None: ...


@frozen
class Little:
    """A thing with nothing but build()."""

    def build(self, context: Any) -> None: ...


@frozen
class Weighted:
    """A loss with an option that the recipe needs for itself."""

    weight: float = 1.0

    def build(self, context: Any) -> None: ...


class AllKinds:
    @hookimpl
    def data_sources(self) -> list[Component]:
        return [Component("a_source", Thing)]

    @hookimpl
    def teachers(self) -> list[Component]:
        return [Component("a_teacher", Thing)]

    @hookimpl
    def reshapes(self) -> list[Component]:
        return [Component("a_reshape", Thing)]

    @hookimpl
    def kernels(self) -> list[Component]:
        return [Component("a_kernel", Thing)]

    @hookimpl
    def backends(self) -> list[Component]:
        return [Component("a_backend", Thing)]

    @hookimpl
    def losses(self) -> Iterator[Component]:
        yield Component("a_loss", Thing)

    @hookimpl
    def samplers(self) -> list[Component]:
        return [Component("a_sampler", Thing)]

    @hookimpl
    def negatives(self) -> list[Component]:
        return [Component("some_negatives", Thing)]

    @hookimpl
    def rephrasers(self) -> list[Component]:
        return [Component("a_rephraser", Thing)]

    @hookimpl
    def loggers(self) -> tuple[Component, ...]:
        return (Component("a_logger", Thing),)


class Lifecycle:
    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []

    @hookimpl
    def on_run_start(self, run: RunInfo) -> None:
        self.seen.append(("start", run.name))

    @hookimpl
    def on_step_end(self, step: int) -> None:
        self.seen.append(("step", step))

    @hookimpl
    def on_evaluation(self, run: RunInfo, step: int, metrics: Mapping[str, float]) -> None:
        self.seen.append(("evaluation", step, metrics))

    @hookimpl
    def on_checkpoint(self, run: RunInfo, step: int, path: Path) -> None:
        self.seen.append(("checkpoint", step, path))

    @hookimpl
    def on_run_end(self, run: RunInfo, result: Mapping[str, Any]) -> None:
        self.seen.append(("end", result))


def nothing() -> list[Component]:
    return []


def plugin(**hooks: Callable[..., Any]) -> ModuleType:
    """A module with these hooks."""
    module = ModuleType("a_plugin")
    for name, function in hooks.items():
        setattr(module, name, hookimpl(function))
    return module


def test_what_a_plugin_supplies_is_stamped_with_it() -> None:
    host = PluginHost()
    host.register(AllKinds(), ACME)
    assert host.plugins == [ACME]
    assert {component.kind for component in host.registry.all()} == set(Kind)
    for kind in Kind:
        (name,) = host.registry.names(kind)
        found = host.registry.get(kind, name)
        assert (found.name, found.component.config, found.provider) == (name, Thing, ACME)
    assert str(ACME) == "acme, acme-package 1.2"


def test_lifecycle_hooks_are_called() -> None:
    host, lifecycle = PluginHost(), Lifecycle()
    host.register(lifecycle, ACME)
    run: Any = SimpleNamespace(name="r")
    hook = host.manager.hook
    hook.on_run_start(run=run)
    hook.on_step_end(run=run, step=1)
    hook.on_evaluation(run=run, step=1, metrics={"cosine": 0.5})
    hook.on_checkpoint(run=run, step=1, path=Path("c"))
    hook.on_run_end(run=run, result={})
    assert lifecycle.seen == [
        ("start", "r"),
        ("step", 1),
        ("evaluation", 1, {"cosine": 0.5}),
        ("checkpoint", 1, Path("c")),
        ("end", {}),
    ]


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        ({"losess": nothing}, "unknown hook 'losess'"),
        ({"on_step_end": lambda run, stpe: None}, r"stpe"),
        ({"losses": lambda: None}, r"hook losses\(\) returned nothing; return a list of components"),
        ({"losses": lambda: [Thing]}, r"hook losses\(\) returned .*Thing.*, which is not a Component"),
        ({"losses": lambda: Component("a", Thing)}, "not iterable"),
        ({"losses": lambda: [Component("A", Thing)]}, "must be lower case"),
        ({"losses": lambda: 1 / 0}, "division by zero"),
        ({"losses": lambda: [Component("a", Weighted)]}, "'weight' is the recipe's key for its weight in the sum"),
        ({"teachers": lambda: [Component("a", Little)]}, r"of teacher 'a' has no embedding_dim\(\)"),
        ({"reshapes": lambda: [Component("a", Little)]}, r"of reshape 'a' has no lattice_channels\(\)"),
        ({}, "it implements no hook; mark those it has with @hookimpl"),
    ],
)
def test_a_plugin_that_does_not_fit_leaves_no_trace(hooks: dict[str, Callable[..., Any]], message: str) -> None:
    host = PluginHost()
    called: list[int] = []
    # A hook that fits, so that some of the plugin is in place when the rest fails.
    fitting = {"on_run_start": lambda run: called.append(1)} if hooks else {}
    with pytest.raises(Exception, match=message):
        host.register(plugin(**fitting, **hooks), ACME)
    host.manager.hook.on_run_start(run=None)
    assert called == []
    assert host.plugins == []
    assert host.registry.all() == []
    host.register(AllKinds(), ACME)
    assert len(host.registry.all()) == len(Kind)


def test_another_hook_api_is_refused() -> None:
    module = plugin(losses=nothing)
    module.HOOK_API = 2  # type: ignore[attr-defined]
    with pytest.raises(PluginError, match="for hook API 2 and this engine has 1; install a version of acme-package"):
        PluginHost().register(module, ACME)
    module.HOOK_API = 1  # type: ignore[attr-defined]
    PluginHost().register(module, ACME)


def test_one_module_under_two_names() -> None:
    host, module = PluginHost(), plugin(losses=lambda: [Component("a", Thing)])
    host.register(module, ACME)
    with pytest.raises(PluginError, match="it is the same module as acme-package:acme; uninstall one of them"):
        host.register(module, attrs.evolve(ACME, distribution="fork"))
    assert [component.name for component in host.registry.all()] == ["a"]


def test_a_plugin_need_not_be_hashable() -> None:
    class Unhashable(AllKinds):
        __hash__ = None  # type: ignore[assignment]

    host = PluginHost()
    host.register(Unhashable(), ACME)
    assert len(host.registry.all()) == len(Kind)


def test_a_disabled_name_that_nothing_has() -> None:
    with pytest.raises(
        PluginError, match="cannot disable no_such: no such plugin is installed; installed: core_engine"
    ):
        PluginHost.discover(["no_such", "core_engine_losses"])


def test_leftovers_of_a_distribution_are_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leftover = tmp_path / "gone-1.0.dist-info"
    leftover.mkdir()
    (leftover / "entry_points.txt").write_text("[core_engine.plugins]\ngone = gone_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    host = PluginHost.discover()
    assert [(failed.provider, failed.reason) for failed in host.failed] == [
        (Provider("gone", "unknown", "0"), "ModuleNotFoundError: No module named 'gone_module'")
    ]
    assert "cosine" in host.registry.names(Kind.LOSS)
