"""Places in a recipe that a plugin's component fills, or one of a fixed set of the engine's own classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from core_engine.contracts.component import Kind
from core_engine.host.registry import Provider


@frozen
class Slot:
    """Annotation of a field that a component fills: ``Annotated[ComponentRef, Slot(Kind.LOSS)]``.

    In the recipe: a mapping with the component's name under ``type`` and its options beside it.
    """

    kind: Kind


@frozen
class NameOf:
    """Annotation of a field that holds a component's name and no options, or one of ``others``."""

    kind: Kind
    others: tuple[str, ...] = ()


@frozen
class Choice:
    """Annotation of a field that takes one of the engine's own classes, chosen by ``type``; ``default`` where it is
    not given.
    """

    options: Mapping[str, type[Any]] = field(hash=False)
    default: str | None = None


@frozen
class ComponentRef:
    """A component as a recipe names it; ``config`` is its validated options, an instance of its config class."""

    kind: Kind
    type: str
    config: Any
    provider: Provider
