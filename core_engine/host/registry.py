"""Components by kind and name, each stamped with the plugin and distribution it came from."""

from __future__ import annotations

import difflib

from attrs import Factory, define, frozen

from core_engine.contracts.component import Component, Kind
from core_engine.errors import PluginError


@frozen
class Provider:
    """Who supplies a component: the plugin's entry-point name, and its distribution and version."""

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.plugin}, {self.distribution} {self.version}"


@frozen
class Registered:
    """A component together with its kind and who supplies it."""

    kind: Kind
    component: Component
    provider: Provider

    @property
    def name(self) -> str:
        return self.component.name


@define
class Registry:
    """Every component of the loaded plugins. A name claimed twice is kept as a conflict, and is nobody's."""

    _claims: dict[tuple[Kind, str], list[Registered]] = Factory(dict)

    def add(self, kind: Kind, component: Component, provider: Provider) -> None:
        self._claims.setdefault((kind, component.name), []).append(Registered(kind, component, provider))

    def names(self, kind: Kind) -> list[str]:
        return sorted(name for (k, name) in self._claims if k is kind)

    def get(self, kind: Kind, name: str) -> Registered:
        """The component of that name. PluginError where no plugin, or more than one, supplies it."""
        claims = self._claims.get((kind, name), [])
        if len(claims) == 1:
            return claims[0]
        if claims:
            raise PluginError(_conflict(claims))
        names = self.names(kind)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "is a plugin package missing?"
        raise PluginError(f"no {kind} named {name!r} is installed; {hint} installed: {', '.join(names) or 'none'}")

    def all(self) -> list[Registered]:
        """Every component that exactly one plugin supplies, by kind and name."""
        return [claims[0] for _, claims in sorted(self._claims.items()) if len(claims) == 1]

    def conflicts(self) -> list[str]:
        return [_conflict(claims) for _, claims in sorted(self._claims.items()) if len(claims) > 1]


def _conflict(claims: list[Registered]) -> str:
    who = " and ".join(f"{c.provider.plugin} ({c.provider.distribution} {c.provider.version})" for c in claims)
    return (
        f"the {claims[0].kind} {claims[0].name!r} is claimed by {who}; "
        f"disable one with --disable-plugin NAME, or uninstall it"
    )
