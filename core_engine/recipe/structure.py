"""Turns nodes into frozen attrs classes, strictly, and collects every problem on the way.

cattrs dispatches on the type; the hooks are ours, because its own coerce (``"false"`` becomes True, 10.7 becomes 10)
and know no source positions. Each hook is given a :class:`Located` node and either returns a value or notes problems
and raises :class:`InvalidError`, which a parent catches to go on with its other children.
"""

from __future__ import annotations

import math
import os
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin

import attrs
import cattrs
from attrs import frozen

from core_engine.contracts.component import FolderOrName, Kind
from core_engine.contracts.schedule import Scheduled
from core_engine.errors import PluginError
from core_engine.host.registry import Registry
from core_engine.recipe.nodes import Node, Problem, join
from core_engine.recipe.schema import LossTerm
from core_engine.recipe.slots import Choice, ComponentRef, NameOf, Slot
from core_engine.recipe.wording import describe_type, did_you_mean, error_text, hint

T = TypeVar("T")


class InvalidError(Exception):
    """The value cannot be used; the problems are noted already."""


@frozen
class Located:
    """A node and its path in the recipe.

    ``supplier`` says in messages whose options these are, and ``beside`` which other keys may stand among them.
    """

    node: Node
    where: str
    supplier: str = ""
    beside: tuple[str, ...] = ()

    def child(self, node: Node, key: str | int) -> Located:
        return Located(node, join(self.where, key), self.supplier)


class Structurer:
    """One structuring of one recipe. ``problems`` holds what was found."""

    def __init__(self, registry: Registry) -> None:
        self.problems: list[Problem] = []
        #: Whether a component was asked for that no plugin, or more than one, supplies.
        self.component_missing = False
        self._registry = registry
        self._converter = cattrs.Converter()
        hook = self._converter.register_structure_hook_func
        # Later registrations are asked first, and classes before conditions.
        hook(lambda _: True, self._unsupported)
        self._converter.register_structure_hook(bytes, self._unsupported)
        for scalar in _SCALARS:
            self._converter.register_structure_hook(scalar, self._scalar)
        hook(attrs.has, self._attrs_class)
        hook(_has_origin(Literal), self._literal)
        hook(_has_origin(list, tuple), self._sequence)
        hook(_has_origin(dict), self._dict)
        hook(_has_origin(Union, types.UnionType), self._union)
        self._converter.register_structure_hook(LossTerm, self._loss_term)
        hook(_has_origin(Annotated), self._annotated)

    def structure(self, node: Node, cls: type[T], where: str = "") -> T | None:
        """An instance of ``cls``, or None where there are problems."""
        try:
            return cast(T, self._structure(Located(node, where), cls))
        except InvalidError:
            return None

    def _structure(self, located: Located, cls: Any) -> Any:
        return self._converter.structure(located, cls)

    def _fail(self, located: Located, what: str) -> InvalidError:
        self._note(located, located.where, what)
        return InvalidError()

    def _note(self, located: Located, where: str, what: str, node: Node | None = None) -> None:
        suffix = f" ({located.supplier})" if located.supplier else ""
        self.problems.append(Problem((node or located.node).at, where, what + suffix))

    def _unsupported(self, located: Located, cls: Any) -> Any:
        raise PluginError(
            f"{located.where}: an option of type {cls!r} has no form in a recipe; use bool, int, float, str, Path, "
            f"Literal, None, lists, tuples and dicts of these, or attrs classes ({located.supplier or 'core-engine'})"
        )

    # Scalars

    def _scalar(self, located: Located, cls: type[Any]) -> Any:
        value = located.node.value
        if cls not in _SCALARS:
            return self._unsupported(located, cls)
        if cls is float and type(value) in (int, float):
            return self._number(located, cast(float, value))
        if cls is Path and isinstance(value, str) and value:
            return self._path(located, value)
        if type(value) is cls:
            return value
        raise self._fail(
            located, f"expected {describe_type(cls)}, not {located.node.describe()}{hint(located.node, cls)}"
        )

    def _number(self, located: Located, value: float) -> float:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self._fail(located, f"expected a finite number, not {located.node.describe()}")
        return number

    def _path(self, located: Located, value: str) -> Path:
        if "\0" in value:
            raise self._fail(located, f"expected a path, not {located.node.describe()}")
        try:
            return located.node.mark.folder / Path(value).expanduser()
        except RuntimeError as error:  # ~name of no user
            raise self._fail(located, f"{located.node.describe()}: {error}") from error

    def _literal(self, located: Located, cls: Any) -> Any:
        options = get_args(cls)
        value = located.node.value
        for option in options:
            if type(option) is type(value) and option == value:
                return option
        raise self._fail(
            located,
            f"expected {describe_type(cls)}, not {located.node.describe()}"
            f"{did_you_mean(value, [o for o in options if isinstance(o, str)])}",
        )

    def _union(self, located: Located, cls: Any) -> Any:
        members = get_args(cls)
        if located.node.value is None and type(None) in members:
            return None
        others = [member for member in members if member is not type(None)]
        if isinstance(located.node.value, dict):
            # One class among scalars: then what is wrong in the mapping is worth saying.
            classes = [member for member in others if attrs.has(member)]
            if len(classes) == 1 and all(member in _SCALARS for member in others if member not in classes):
                others = classes
        if len(others) == 1:
            return self._structure(located, others[0])
        for member in others:
            seen = len(self.problems)
            try:
                return self._structure(located, member)
            except InvalidError:
                del self.problems[seen:]
        raise self._fail(located, f"expected {describe_type(cls)}, not {located.node.describe()}")

    # Containers

    def _sequence(self, located: Located, cls: Any) -> Any:
        items = located.node.value
        if not isinstance(items, list):
            raise self._fail(located, f"expected {describe_type(cls)}, not {located.node.describe()}")
        arguments = get_args(cls)
        fixed = get_origin(cls) is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis)
        if fixed and len(items) != len(arguments):
            raise self._fail(located, f"expected {describe_type(cls)}, not {len(items)} of them")
        kinds = arguments if fixed else [arguments[0]] * len(items)
        values = self._each(
            lambda i=i, node=node, kind=kind: self._structure(located.child(node, i), kind)  # type: ignore[misc]
            for i, (node, kind) in enumerate(zip(items, kinds, strict=True))
        )
        return get_origin(cls)(values)

    def _dict(self, located: Located, cls: Any) -> Any:
        entries = self._mapping(located)
        key_type, kind = get_args(cls)
        if key_type is not str:
            self._unsupported(located, cls)
        values = self._each(
            lambda k=k, node=node: self._structure(located.child(node, k), kind)  # type: ignore[misc]
            for k, node in entries.items()
        )
        return dict(zip(entries, values, strict=True))

    def _each(self, parts: Iterable[Callable[[], Any]]) -> list[Any]:
        """Runs every part, so that each notes its problems, and raises at the end if any failed."""
        values = []
        failed = False
        for part in parts:
            try:
                values.append(part())
            except InvalidError:
                failed = True
        if failed:
            raise InvalidError
        return values

    def _mapping(self, located: Located) -> dict[str, Node]:
        if isinstance(located.node.value, dict):
            return located.node.value
        raise self._fail(located, f"expected a mapping, not {located.node.describe()}")

    # Classes

    def _attrs_class(self, located: Located, cls: type[Any]) -> Any:
        entries = self._mapping(located)
        fields = {str(a.alias): a for a in _fields(cls) if a.init}
        failed = False
        for key, node in entries.items():
            if key not in fields:
                failed = True
                what = f"unknown key{did_you_mean(key, [*fields, *located.beside], 'known here')}"
                self._note(located, join(located.where, key), what, node)
        values: dict[str, Any] = {}
        for key, attribute in fields.items():
            if key in entries:
                try:
                    values[key] = self._structure(located.child(entries[key], key), attribute.type)
                except InvalidError:
                    failed = True
            elif attribute.default is attrs.NOTHING:
                failed = True
                self._note(located, join(located.where, key), f"missing; expected {describe_type(attribute.type)}")
        if not failed:
            try:
                return cls(**values)
            except Exception as error:  # whatever a plugin's validator raises is about the values it was given
                construction_error = error
        # attrs stops at the first validator that fails, and names no key.
        for key, value in values.items():
            complaint = _complaint(fields[key], value, values)
            if complaint is not None:
                failed = True
                self._note(located, join(located.where, key), complaint, entries[key])
        if failed:
            raise InvalidError
        raise self._fail(located, error_text(construction_error)) from construction_error

    # Slots

    def _annotated(self, located: Located, cls: Any) -> Any:
        inner, *marks = get_args(cls)
        for mark in marks:
            if isinstance(mark, Slot):
                return self._component(located, mark.kind)
            if isinstance(mark, Choice):
                name, rest = self._typed(located, sorted(mark.options), mark.default)
                if name not in mark.options:
                    raise self._unknown_type(located, name, mark.options)
                return self._structure(Located(rest, located.where), mark.options[name])
            if isinstance(mark, NameOf):
                return self._name_of(located, mark)
            if isinstance(mark, FolderOrName):
                text = cast(str, self._structure(located, str))
                # Path.is_dir raises for a name that no file can have; this says no.
                is_folder = os.path.isdir(located.node.mark.folder / text)  # noqa: PTH112
                looks_local = is_folder or text.startswith((".", "~")) or Path(text).is_absolute()
                return str(self._structure(located, Path)) if looks_local else text
        return self._structure(located, inner)

    def _component(self, located: Located, kind: Kind) -> ComponentRef:
        name, rest = self._typed(located, self._registry.names(kind))
        try:
            registered = self._registry.get(kind, name)
        except PluginError as error:
            node = cast(dict[str, Node], located.node.value)["type"]
            self.component_missing = True
            self._note(located, join(located.where, "type"), str(error), node)
            raise InvalidError from error
        supplier = str(registered.provider)
        config = self._structure(Located(rest, located.where, supplier, located.beside), registered.component.config)
        return ComponentRef(kind, name, config, registered.provider)

    def _name_of(self, located: Located, mark: NameOf) -> str:
        name = cast(str, self._structure(located, str))
        if name not in mark.others:
            try:
                self._registry.get(mark.kind, name)
            except PluginError as error:
                self.component_missing = True
                also = did_you_mean(name, mark.others, "also known")
                raise self._fail(located, f"{error}{also}") from error
        return name

    def _typed(self, located: Located, names: Iterable[str], default: str | None = None) -> tuple[str, Node]:
        """Splits a mapping into its ``type`` and the rest."""
        value = located.node.value
        known = ", ".join(names) or "none"
        if not isinstance(value, dict):
            example = f"{{type: {value if isinstance(value, str) else '...'}}}"
            what = f"expected a mapping such as {example}, not {located.node.describe()}; types: {known}"
            raise self._fail(located, what)
        node = value.get("type", located.node)
        name = node.value if "type" in value or default is None else default
        if not isinstance(name, str):
            what = f"expected a name, not {node.describe()}" if "type" in value else "missing"
            unspaced = next((key for key in value if key.startswith("type:")), None)
            if unspaced is not None:
                what = f"missing; write a space after the colon in {unspaced!r}"
            self._note(located, join(located.where, "type"), f"{what}; known: {known}", node)
            raise InvalidError
        return name, attrs.evolve(located.node, value={key: item for key, item in value.items() if key != "type"})

    def _unknown_type(self, located: Located, name: str, options: Iterable[str]) -> InvalidError:
        node = cast(dict[str, Node], located.node.value)["type"]
        what = f"unknown type {name!r}{did_you_mean(name, sorted(options), 'known')}"
        self._note(located, join(located.where, "type"), what, node)
        return InvalidError()

    def _loss_term(self, located: Located, cls: type[LossTerm]) -> LossTerm:
        """``weight`` is the term's, everything else the loss's."""
        node, own = located.node, {}
        if isinstance(node.value, dict):
            own = {key: item for key, item in node.value.items() if key == "weight"}
            node = attrs.evolve(node, value={key: item for key, item in node.value.items() if key != "weight"})
        loss_located = Located(node, located.where, beside=("weight",))
        loss, weight = self._each(
            [
                lambda: self._component(loss_located, Kind.LOSS),
                lambda: self._weight(located, own),
            ]
        )
        return LossTerm(loss=loss, weight=weight)

    def _weight(self, located: Located, own: dict[str, Node]) -> Scheduled:
        attribute = attrs.fields_dict(LossTerm)["weight"]
        if "weight" not in own:
            return cast(float, attribute.default)
        where = join(located.where, "weight")
        weight = cast(Scheduled, self._structure(Located(own["weight"], where), Scheduled))
        try:
            cast(Any, attribute.validator)(None, attribute, weight)
        except ValueError as error:
            raise self._fail(Located(own["weight"], where), error_text(error)) from error
        return weight


_SCALARS = (bool, int, float, str, Path)


def _complaint(attribute: attrs.Attribute[Any], value: Any, values: dict[str, Any]) -> str | None:
    """What the option's validator has against its value, if it can tell without the finished instance."""
    if attribute.validator is None:
        return None
    try:
        attribute.validator(types.SimpleNamespace(**values), attribute, value)
    except (ValueError, TypeError) as error:
        return error_text(error)
    except Exception:  # it looks at more than the options that were given; the instance's own failure is reported
        return None
    return None


def _has_origin(*origins: Any) -> Callable[[Any], bool]:
    return lambda cls: get_origin(cls) in origins


def _fields(cls: type[Any]) -> tuple[attrs.Attribute[Any], ...]:
    try:
        attrs.resolve_types(cls, include_extras=True)
    except Exception as error:  # an annotation can be any expression
        raise PluginError(
            f"the annotations of config class {cls.__module__}.{cls.__qualname__} cannot be resolved ({error}); "
            f"define it at module level and import its types there"
        ) from error
    return cast("tuple[attrs.Attribute[Any], ...]", attrs.fields(cls))
