"""Finds plugins through entry points and loads each on its own, so that a broken one costs one warning."""

from __future__ import annotations

import importlib.metadata as metadata
import os
import traceback
from collections.abc import Iterable

import attrs
import pluggy
import structlog
from attrs import Factory, define, field, frozen

from core_engine.contracts import hooks
from core_engine.contracts.component import Component, Kind
from core_engine.errors import PluginError
from core_engine.host.registry import Provider, Registry

#: Names of plugins not to load, separated by commas.
DISABLE_VARIABLE = "CORE_ENGINE_DISABLE_PLUGINS"

log = structlog.get_logger("core_engine.host")


@frozen
class FailedPlugin:
    """A plugin that could not be loaded, and why; ``details`` is the traceback."""

    provider: Provider
    reason: str
    details: str


@define
class PluginHost:
    """The plugins of one process. ``PluginHost.discover()`` is the usual way to get one."""

    manager: pluggy.PluginManager = field(factory=lambda: _new_manager())
    registry: Registry = Factory(Registry)
    plugins: list[Provider] = Factory(list)
    failed: list[FailedPlugin] = Factory(list)
    disabled: list[str] = Factory(list)

    @classmethod
    def discover(cls, disable: Iterable[str] = ()) -> PluginHost:
        """Loads every installed plugin but the disabled ones.

        Disabled are the entry-point names in ``disable`` and in the environment variable CORE_ENGINE_DISABLE_PLUGINS.
        A plugin that fails to load is logged as a warning and kept in ``failed``. PluginError where a disabled name
        is no installed plugin's.
        """
        from_environment = (name.strip() for name in os.environ.get(DISABLE_VARIABLE, "").split(","))
        unwanted = {*disable, *filter(None, from_environment)}
        found = _entry_points()
        unknown = sorted(unwanted - {entry.name for entry, _ in found})
        if unknown:
            installed = ", ".join(sorted({entry.name for entry, _ in found}))
            raise PluginError(
                f"cannot disable {', '.join(unknown)}: no such plugin is installed; installed: {installed}"
            )
        host = cls(disabled=sorted(unwanted))
        for entry, provider in found:
            if entry.name not in unwanted:
                host._load(entry, provider)
        for conflict in host.registry.conflicts():
            log.warning("component claimed twice", conflict=conflict)
        return host

    def register(self, plugin: object, provider: Provider) -> None:
        """Adds one plugin object. PluginError where it is written for another hook API, or its hooks do not fit."""
        api = getattr(plugin, "HOOK_API", hooks.HOOK_API)
        if api != hooks.HOOK_API:
            raise PluginError(
                f"it is written for hook API {api} and this engine has {hooks.HOOK_API}; "
                f"install a version of {provider.distribution} made for this engine"
            )
        if self.manager.is_registered(plugin):
            raise PluginError(f"it is the same module as {self.manager.get_name(plugin)}; uninstall one of them")
        try:
            # pluggy drops the second of two equal names, and two distributions may pick one entry-point name.
            self.manager.register(plugin, name=f"{provider.distribution}:{provider.plugin}")
            if not self.manager.get_hookcallers(plugin):
                raise PluginError("it implements no hook; mark those it has with @hookimpl")
            self.manager.check_pending()
            components = list(_components(self.manager, plugin))
        except BaseException:
            # Some of its hooks may be in place already; a plugin that failed is not called.
            if self.manager.is_registered(plugin):
                self.manager.unregister(plugin)
            raise
        for kind, component in components:
            self.registry.add(kind, component, provider)
        self.plugins.append(provider)

    def _load(self, entry: metadata.EntryPoint, provider: Provider) -> None:
        try:
            self.register(entry.load(), provider)
        except (Exception, SystemExit) as error:  # a plugin that exits at import costs one warning as well
            failure = FailedPlugin(provider, f"{type(error).__name__}: {error}", traceback.format_exc())
            self.failed.append(failure)
            log.warning("plugin failed to load", plugin=str(provider), reason=failure.reason)
            log.debug("plugin traceback", plugin=str(provider), exception=failure.details)


def _new_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hooks.PROJECT)
    manager.add_hookspecs(hooks)
    return manager


def _entry_points() -> list[tuple[metadata.EntryPoint, Provider]]:
    """Each plugin once, in a fixed order, with its distribution.

    A distribution can be listed twice (an editable install beside its build folder); its entry points are the same.
    """
    found: dict[tuple[str, str, str], tuple[metadata.EntryPoint, Provider]] = {}
    for entry in metadata.entry_points(group=hooks.ENTRY_POINT_GROUP):
        distribution = entry.dist
        # Leftovers of an uninstalled distribution may have entry points and no metadata.
        name = (distribution.name if distribution else None) or "unknown"
        version = (distribution.version if distribution else None) or "0"
        found.setdefault((name, entry.name, entry.value), (entry, Provider(entry.name, name, version)))
    return [found[key] for key in sorted(found)]


def _components(manager: pluggy.PluginManager, plugin: object) -> Iterable[tuple[Kind, Component]]:
    for kind in Kind:
        for implementation in getattr(manager.hook, kind.hook).get_hookimpls():
            if implementation.plugin is plugin:
                supplied = implementation.function()
                if supplied is None:
                    raise PluginError(f"hook {kind.hook}() returned nothing; return a list of components")
                for component in supplied:
                    if not isinstance(component, Component):
                        raise PluginError(f"hook {kind.hook}() returned {component!r}, which is not a Component")
                    _require_contract(kind, component)
                    yield kind, component


def _require_contract(kind: Kind, component: Component) -> None:
    """What the hook of a kind asks of the config class beyond what every component has."""
    owner = f"config class {component.config.__qualname__} of {kind} {component.name!r}"
    method = {Kind.TEACHER: "embedding_dim", Kind.RESHAPE: "lattice_channels"}.get(kind)
    if method and not callable(getattr(component.config, method, None)):
        raise PluginError(f"{owner} has no {method}()")
    if kind is Kind.LOSS and "weight" in {attribute.alias for attribute in attrs.fields(component.config)}:
        raise PluginError(f"{owner}: 'weight' is the recipe's key for its weight in the sum; rename the option")
