"""The component ``minilm``: the preset that needs no choices, and the teacher of the quickstart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from core_engine import TeacherContext
from core_engine_teachers import model_folder
from core_engine_teachers.options import Dtype, EncoderOptions, TooLong, is_batch_tokens, is_dtype, is_too_long

if TYPE_CHECKING:
    from core_engine_teachers.encoder import Encoder


@frozen(kw_only=True)
class MiniLM:
    """The sentence encoder all-MiniLM-L6-v2: 384 dimensions, masked mean, unit length, at most 256 tokens.

    ``path``: a folder that holds the model; without it the model is taken from the hub's local cache, the installed
    package of the extra ``quickstart``, or the hub, whichever has it first. ``dtype``, ``batch_tokens`` and
    ``too_long`` as for ``hf``. Sources: Wang et al., 2020 (MiniLM); Reimers & Gurevych, 2019 (pooling and training).
    """

    path: Path | None = None
    dtype: Dtype = field(default="float32", validator=is_dtype)
    batch_tokens: int | None = field(default=None, validator=is_batch_tokens)
    too_long: TooLong = field(default="error", validator=is_too_long)

    def check(self) -> Iterator[tuple[str, str]]:
        if self.path is not None and (problem := model_folder.problem(self.path)):
            yield "path", problem

    def embedding_dim(self) -> int:
        return 384

    def build(self, context: TeacherContext) -> Encoder:
        from core_engine_teachers.encoder import Encoder
        from core_engine_teachers.locate import locate_minilm

        options = EncoderOptions(
            pooling="mean",
            max_length=256,
            too_long=self.too_long,
            dtype=self.dtype,
            normalize=True,
            batch_tokens=self.batch_tokens,
        )
        return Encoder(locate_minilm(self.path), options, context.device)
