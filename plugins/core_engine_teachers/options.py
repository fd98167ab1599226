"""What any encoder can be asked for; presets fix some of it."""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs import field, frozen
from attrs.validators import ge, in_, optional

Pooling = Literal["mean", "cls", "last", "max", "mean_sqrt_len", "weighted_mean"]
Padding = Literal["right", "left"]
Precision = Literal["float32", "bfloat16", "float16"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
TooLong = Literal["error", "cut"]
Quantization = Literal["8bit", "4bit"]

is_pooling = in_(("mean", "cls", "last", "max", "mean_sqrt_len", "weighted_mean"))
is_padding = in_(("right", "left"))
is_dtype = in_(("auto", "float32", "bfloat16", "float16"))
is_too_long = in_(("error", "cut"))
is_quantization = in_(("8bit", "4bit"))
is_batch_tokens = optional(ge(1))


def _layers(instance: object, attribute: attrs.Attribute[Any], value: int | list[int]) -> None:
    if isinstance(value, list) and (not value or len(set(value)) < len(value)):
        raise ValueError(f"'{attribute.name}' must name one layer or several different ones: {value}")


@frozen(kw_only=True)
class EncoderOptions:
    """How a model turns a text into one embedding.

    ``pooling``: over the text's tokens, as Sentence Transformers defines them: their mean, the first, the last, the
    largest value of each dimension, the sum over the square root of their number, or the mean with weights 1, 2, 3 ...
    (Muennighoff, 2022). ``padding``: the side on which shorter texts of a batch are filled up; embeddings are the same
    up to rounding. ``layer``: which hidden state is pooled, 0 is the embedding layer and -1 the last; a list is
    averaged. ``max_length``: tokens per text, special tokens and prompt included; None means the lower of the model's
    positions and its tokenizer's limit. ``too_long``: what happens to a text above it. ``prompt``: put before every
    text, and pooled with it. ``special_tokens``: add those that the tokenizer puts around a text.
    ``dtype``: what the model computes in, ``auto`` is what config.json says; embeddings are float32 always.
    ``normalize``: embeddings of unit length. ``batch_tokens``: padded tokens per batch, which bounds memory and does
    not change embeddings beyond rounding; None means 1024 on the CPU and 65536 elsewhere. ``device_map``: ``auto``
    spreads a large model over all devices. ``quantization``: weights in 8 or 4 bits. ``trust_remote_code``: run Python
    code that comes with the model.
    """

    pooling: Pooling = field(default="mean", validator=is_pooling)
    padding: Padding = field(default="right", validator=is_padding)
    layer: int | list[int] = field(default=-1, validator=_layers)
    max_length: int | None = field(default=None, validator=optional(ge(1)))
    too_long: TooLong = field(default="error", validator=is_too_long)
    prompt: str = ""
    special_tokens: bool = True
    dtype: Dtype = field(default="float32", validator=is_dtype)
    normalize: bool = True
    batch_tokens: int | None = field(default=None, validator=is_batch_tokens)
    device_map: Literal["auto"] | None = field(default=None, validator=optional(in_(("auto",))))
    quantization: Quantization | None = field(default=None, validator=optional(is_quantization))
    trust_remote_code: bool = False

    @property
    def layers(self) -> tuple[int, ...]:
        """``layer`` as a tuple, of one or more."""
        return tuple(self.layer) if isinstance(self.layer, list) else (self.layer,)
