"""A component: something a recipe can name. Hooks return components, never live objects."""

from __future__ import annotations

import inspect
import re
from enum import StrEnum
from typing import Any

import attrs
from attrs import field, frozen


class Kind(StrEnum):
    """The kinds of component. The value is the word used in messages and in ``core-engine plugins``."""

    DATA_SOURCE = "data_source"
    TEACHER = "teacher"
    RESHAPE = "reshape"
    KERNEL = "kernel"
    BACKEND = "backend"
    LOSS = "loss"
    SAMPLER = "sampler"
    NEGATIVES = "negatives"
    REPHRASER = "rephraser"
    LOGGER = "logger"

    @property
    def hook(self) -> str:
        """The hook that plugins implement to supply components of this kind: its plural."""
        return {"loss": "losses", "negatives": "negatives"}.get(self.value, f"{self.value}s")


@frozen
class FolderOrName:
    """Annotation of an option that is a folder or a name: ``Annotated[str, FolderOrName()]``.

    A value that begins with ``.``, ``~`` or the root, or that names a folder which is there, is a folder, and is
    resolved like every path in a recipe: relative to the file it is written in. Anything else is left as it is.
    """


_NAME = re.compile(r"[a-z][a-z0-9_]*")


def _valid_name(instance: Component, attribute: attrs.Attribute[str], value: str) -> None:
    if not _NAME.fullmatch(value):
        raise ValueError(f"component name {value!r} must be lower case letters, digits and underscores")


def _buildable(instance: Component, attribute: attrs.Attribute[type], value: type) -> None:
    if not isinstance(value, type) or not attrs.has(value):
        raise TypeError(f"config of component {instance.name!r} must be an attrs class, not {value!r}")
    if not callable(getattr(value, "build", None)):
        raise TypeError(f"config class {value.__qualname__} of component {instance.name!r} has no build(context)")
    if not inspect.getdoc(value):
        raise ValueError(f"config class {value.__qualname__} of component {instance.name!r} has no docstring")
    if "type" in {a.alias for a in attrs.fields(value)}:
        raise ValueError(f"config class {value.__qualname__}: 'type' is the recipe's key for the component's name")


@frozen
class Component:
    """A named, typed description of something a recipe can ask for.

    ``config`` is an attrs class whose fields are the component's options in a recipe, with their types, defaults
    and validators; its docstring's first line is the summary that ``core-engine plugins`` prints. Its method
    ``build(context)`` makes the object; heavy imports belong there. The context and the object's contract depend on
    the kind: see :mod:`core_engine.contracts.contexts` and :mod:`core_engine.contracts.objects`.

    A config class may also define ``check()``, yielding ``(option, what is wrong)`` for everything that can be known
    without building: missing files, options that exclude one another.
    """

    name: str = field(validator=_valid_name)
    config: type[Any] = field(validator=_buildable)

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.config) or "").splitlines()[0]
