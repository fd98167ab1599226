"""Modes: what is mapped to what."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import attrs
from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, lt, optional

from core_engine.contracts.schedule import Ramp, Scheduled, each_value
from core_engine.recipe.slots import Choice


@frozen
class Autoencoder:
    """Each text to itself. In pairs, questions and answers are texts alike."""

    #: Norm of the Gaussian noise added to training inputs, relative to the inputs' root-mean-square norm.
    #: The target stays clean.
    noise: float = field(default=0.0, validator=ge(0))
    #: The same for held-out inputs: above 0, evaluation measures denoising. 0.75 puts the noisy input at a cosine
    #: of 0.8.
    evaluation_noise: float = field(default=0.0, validator=ge(0))


@frozen
class Dialogue:
    """Each question to its answer."""


_in_open: Any = and_(gt(0), lt(1))
_in_closed: Any = and_(ge(0), le(1))


def _share(instance: object, attribute: attrs.Attribute[Scheduled], value: Scheduled) -> None:
    if isinstance(value, Ramp):
        each_value(_in_closed)(instance, attribute, value)
    else:
        _in_open(instance, attribute, value)


@frozen
class Mixed:
    """Questions to answers, and answers to themselves, in one core; held-out figures are the dialogue's."""

    #: ``ratio``: both in every epoch. ``alternate``: an epoch of dialogue, then an epoch of autoencoder.
    schedule: Literal["ratio", "alternate"] = "ratio"
    #: Share of autoencoder rows in an epoch, for schedule ``ratio``; 0.5 where it is not given. With a number every
    #: pair comes up in every epoch; with a ramp an epoch has as many rows as there are pairs, of both kinds.
    autoencoder_share: Scheduled | None = field(default=None, validator=optional(_share))
    #: As in the autoencoder mode, on autoencoder rows only.
    noise: float = field(default=0.0, validator=ge(0))

    def __attrs_post_init__(self) -> None:
        if self.schedule == "alternate" and self.autoencoder_share is not None:
            raise ValueError("autoencoder_share has no effect where epochs alternate; remove it")


MODES = {"autoencoder": Autoencoder, "dialogue": Dialogue, "mixed": Mixed}
Mode = Annotated[Autoencoder | Dialogue | Mixed, Choice(MODES)]
