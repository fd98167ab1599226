"""A plugin whose loss has an option of every type that a recipe can hold."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

from attrs import Factory, field, frozen
from attrs.validators import and_, ge, lt, optional

from core_engine import Component, Loss, LossContext, hookimpl
from core_engine.host.host import PluginHost
from core_engine.host.registry import Provider


@frozen
class Inner:
    """Options of an option."""

    a: int = field(default=1, validator=ge(0))
    b: str = ""


@frozen
class Probe:
    """Every type of option at once."""

    flag: bool = False
    count: int = field(default=1, validator=and_(ge(0), lt(2**70)))
    factor: float = 1.0
    text: str = "x"
    path: Path | None = None
    choice: Literal["one", "two", 3] = "one"
    maybe: float | None = field(default=None, validator=optional(ge(0)))
    pair: tuple[int, float] = (1, 2.0)
    many: tuple[str, ...] = ()
    items: list[int] = Factory(list)
    table: dict[str, float] = Factory(dict)
    inner: Inner = Factory(Inner)
    inners: list[Inner] = Factory(list)
    number_or_text: int | str = 0
    _hidden: int = 0

    def __attrs_post_init__(self) -> None:
        if 1 / self.factor < 0:
            raise ValueError("factor is negative; make it positive")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.path is not None and not self.path.exists():
            yield "path", f"{self.path}: no such file"
        if self.text == "two problems":
            yield "text", "the first problem"
            yield "", "the second problem"

    def build(self, context: LossContext) -> Loss:
        raise NotImplementedError


@hookimpl
def losses() -> list[Component]:
    return [Component("probe", Probe)]


@cache
def bundled_and_probe() -> PluginHost:
    """The bundled plugins and this one."""
    host = PluginHost.discover()
    assert not host.failed
    host.register(sys.modules[__name__], Provider("probe", "probe-package", "0.7"))
    return host


def recipe(**probe: Any) -> dict[str, Any]:
    """The smallest recipe, with these options of the probe."""
    return {
        "mode": {"type": "dialogue"},
        "data": {"train": {"type": "quickstart"}},
        "lattice": {"size": [4, 4, 24], "kernel": {"type": "stencil"}},
        "reshape": {"type": "linear"},
        "loss": [{"type": "probe", **probe}],
    }
