"""Texts to token ids, and every way that a text can be unusable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor

from core_engine.errors import TeacherError
from core_engine_teachers import model_folder
from core_engine_teachers.forward import Forward
from core_engine_teachers.options import EncoderOptions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


#: Texts tokenised at a time where only their lengths are wanted.
_AT_A_TIME = 4096


@frozen
class Tokens:
    """One unpadded row of numbers per text, for each of a model's inputs. ``cut``: how many texts were too long."""

    rows: dict[str, list[list[int]]]
    cut: int

    @property
    def lengths(self) -> list[int]:
        return [len(row) for row in self.rows["input_ids"]]


class Tokenization:
    """A tokenizer and how it is used, for one model. Raises TeacherError throughout."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        options: EncoderOptions,
        max_length: int,
        forward: Forward,
        folder: Path,
    ) -> None:
        self._tokenizer = tokenizer
        self._options = options
        self._max_length = max_length
        self._input_names = forward.input_names
        self._vocabulary = forward.vocabulary
        self._folder = folder

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """The tokens of ``texts``, the prompt before each."""
        prompted = [self._options.prompt + text for text in texts]
        encoded = self._tokenize(prompted)
        rows = {name: values for name, values in encoded.items() if name in self._input_names}
        ids = rows["input_ids"]
        if empty := [text for text, row in zip(texts, ids, strict=True) if not row]:
            raise TeacherError(f"text {empty[0][:80]!r} has no tokens ({len(empty)} such): drop empty texts")
        if max(map(max, ids)) >= self._vocabulary:
            raise TeacherError(
                f"{self._folder}: the tokenizer gives ids beyond the model's {self._vocabulary}: "
                f"they belong to different models"
            )
        long = [i for i, row in enumerate(ids) if len(row) > self._max_length]
        if long:
            if self._options.too_long == "error":
                raise self._too_long(texts[long[0]], len(long), len(texts), max(len(ids[i]) for i in long))
            cut = self._tokenize([prompted[i] for i in long], max_length=self._max_length)
            for name, values in rows.items():
                for i, row in zip(long, cut[name], strict=True):
                    values[i] = row
        return Tokens(rows, len(long))

    def require_short(self, texts: Sequence[str]) -> None:
        """TeacherError, with all that are too long counted, unless none is or they may be cut."""
        if self._options.too_long == "cut":
            return
        # No tokenizer makes more tokens of a text than it has bytes.
        candidates = [text for text in texts if len((self._options.prompt + text).encode()) > self._room]
        lengths: list[int] = []
        first = ""
        for start in range(0, len(candidates), _AT_A_TIME):
            part = candidates[start : start + _AT_A_TIME]
            ids = self._tokenize([self._options.prompt + text for text in part])["input_ids"]
            long = [(text, len(row)) for text, row in zip(part, ids, strict=True) if len(row) > self._max_length]
            first = first or (long[0][0] if long else "")
            lengths += [length for _, length in long]
        if lengths:
            raise self._too_long(first, len(lengths), len(texts), max(lengths))

    def padded(self, tokens: Tokens, indices: Sequence[int]) -> dict[str, Tensor]:
        """int64 ``[len(indices), T]`` for each of the model's inputs, and ``attention_mask``."""
        lengths = [len(tokens.rows["input_ids"][i]) for i in indices]
        width, left = max(lengths), self._options.padding == "left"

        def tensor(rows: Sequence[list[int]], value: int) -> Tensor:
            fillings = ([value] * (width - length) for length in lengths)
            pairs = zip(fillings, rows, strict=True)
            return torch.tensor([filling + row if left else row + filling for filling, row in pairs])

        inputs = {name: tensor([rows[i] for i in indices], self._filling(name)) for name, rows in tokens.rows.items()}
        return {**inputs, "attention_mask": tensor([[1] * length for length in lengths], 0)}

    def _tokenize(self, texts: list[str], max_length: int | None = None) -> dict[str, list[list[int]]]:
        encoded = self._tokenizer(
            texts,
            padding=False,
            truncation=max_length is not None,
            max_length=max_length,
            add_special_tokens=self._options.special_tokens,
            verbose=False,
        )
        return dict(encoded)

    def _filling(self, name: str) -> int:
        """What stands at padding; masked, so it only has to be valid."""
        if name != "input_ids":
            return 0
        # A tokenizer may have been given a padding token that the model has no embedding of.
        usual = (self._tokenizer.pad_token_id, self._tokenizer.eos_token_id)
        return next((number for number in usual if number is not None and number < self._vocabulary), 0)

    @property
    def _room(self) -> int:
        """Tokens for prompt and text."""
        return self._max_length - (self._tokenizer.num_special_tokens_to_add() if self._options.special_tokens else 0)

    def _too_long(self, first: str, count: int, of: int, longest: int) -> TeacherError:
        with_prompt = ", the prompt's included" if self._options.prompt else ""
        limit = model_folder.usable_positions(self._folder)
        rise = "" if limit is not None and self._max_length >= limit else "raise max_length, "
        return TeacherError(
            f"{count} of {of} texts are longer than max_length {self._max_length}: the longest has {longest} "
            f"tokens{with_prompt}, the first such begins {first[:80]!r}. Set too_long: cut, {rise}or drop long texts "
            f"with data.filters.max_chars"
        )
