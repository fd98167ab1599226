"""What any encoder can be asked for; presets fix some of it."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import ge, in_, optional

Pooling = Literal["mean", "cls", "last"]
Dtype = Literal["float32", "bfloat16", "float16"]


@frozen(kw_only=True)
class EncoderOptions:
    """How a model turns a text into one embedding.

    ``pooling``: mean over the text's tokens, its first token, or its last. ``max_length``: tokens per text, special
    tokens included; None means the lower of
    the model's positions and its tokenizer's limit. ``dtype``: what the model computes in; embeddings are
    float32 always. ``normalize``: embeddings of unit length. ``batch_tokens``: padded tokens per batch, which bounds
    memory and does not change embeddings beyond rounding. ``trust_remote_code``: run Python code that comes with
    the model.
    """

    pooling: Pooling = field(default="mean", validator=in_(("mean", "cls", "last")))
    max_length: int | None = field(default=None, validator=optional(ge(1)))
    dtype: Dtype = field(default="float32", validator=in_(("float32", "bfloat16", "float16")))
    normalize: bool = True
    batch_tokens: int = field(default=4096, validator=ge(1))
    trust_remote_code: bool = False
