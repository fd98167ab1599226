"""The encoder of a Sentence Transformers folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers.normalizers import Lowercase, Sequence
from torch import Tensor

from core_engine.errors import TeacherError
from core_engine_teachers.digests import file_digest
from core_engine_teachers.encoder import Encoder
from core_engine_teachers.locate import Located
from core_engine_teachers.options import EncoderOptions
from core_engine_teachers.pooling import POOLING
from core_engine_teachers.sentence_transformer.folder import SentenceFolder
from core_engine_teachers.sentence_transformer.head import SentenceHead

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class SentenceEncoder(Encoder):
    """``folder`` decides pooling and what follows it; ``options`` holds the rest, with ``normalize`` off.

    ``located`` is the folder of its transformer.
    """

    def __init__(self, folder: SentenceFolder, located: Located, options: EncoderOptions, device: str) -> None:
        super().__init__(
            located,
            options,
            device,
            pool=self._concatenated,
            head=SentenceHead(folder.steps, folder.truncate),
            dim=folder.dim(),
            identity={
                "sentence_transformer": {
                    file.relative_to(folder.root).as_posix(): file_digest(file) for file in folder.files
                }
            },
        )
        self._modes = folder.pooling.modes
        self._lower_case = folder.transformer.lower_case

    @property
    def description(self) -> Mapping[str, object]:
        return {**super().description, "pooling": " + ".join(self._modes)}

    def _concatenated(self, hidden: Tensor, mask: Tensor) -> Tensor:
        return torch.cat([POOLING[mode](hidden, mask) for mode in self._modes], dim=-1)

    def _load_tokenizer(self) -> PreTrainedTokenizerBase:
        tokenizer = super()._load_tokenizer()
        if self._lower_case:
            _lower(tokenizer, self._folder)
        return tokenizer


def _lower(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Before all else that the tokenizer does to a text, and not to special tokens: so Sentence Transformers has it."""
    if not tokenizer.is_fast:
        raise TeacherError(f"{folder}: do_lower_case is supported with a tokenizer.json only, which this model lacks")
    backend = tokenizer.backend_tokenizer
    backend.normalizer = Sequence([Lowercase(), *([] if backend.normalizer is None else [backend.normalizer])])
