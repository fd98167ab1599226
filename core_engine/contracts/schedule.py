"""Numbers that may change over a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import attrs
from attrs import field, frozen
from attrs.validators import and_, ge, le


@frozen
class Ramp:
    """``start`` until the share ``begin`` of training is done, ``end`` from the share ``until`` on, between them a line
    or half a cosine.
    """

    start: float
    end: float
    begin: float = field(default=0.0, validator=and_(ge(0), le(1)))
    until: float = field(default=1.0, validator=and_(ge(0), le(1)))
    shape: Literal["linear", "cosine"] = "linear"

    def __attrs_post_init__(self) -> None:
        if self.until <= self.begin:
            raise ValueError(f"until ({self.until:g}) must be later than begin ({self.begin:g})")

    def at(self, progress: float) -> float:
        """Its value when the share ``progress`` (0 to 1) of training is done."""
        done = min(1.0, max(0.0, (progress - self.begin) / (self.until - self.begin)))
        if self.shape == "cosine":
            done = 0.5 - 0.5 * math.cos(math.pi * done)
        return self.start + (self.end - self.start) * done


#: The type of an option that is a number or changes: ``temperature: Scheduled``.
Scheduled = float | Ramp


def value_at(value: Scheduled, progress: float) -> float:
    """The number that ``value`` is when the share ``progress`` (0 to 1) of training is done."""
    return value.at(progress) if isinstance(value, Ramp) else value


def each_value(validator: Callable[[Any, attrs.Attribute[Any], Any], Any]) -> Callable[..., None]:
    """A validator of numbers as one of a Scheduled: both ends of a ramp must pass."""

    def check(instance: Any, attribute: attrs.Attribute[Any], value: Scheduled) -> None:
        for number in (value.start, value.end) if isinstance(value, Ramp) else (value,):
            validator(instance, attribute, number)

    return check
