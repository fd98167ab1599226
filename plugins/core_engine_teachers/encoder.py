"""The one encoder behind all teachers of this package."""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

import structlog
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from core_engine.errors import TeacherError
from core_engine_teachers import model_folder
from core_engine_teachers.batching import token_batches
from core_engine_teachers.fingerprint import fingerprint
from core_engine_teachers.locate import Located
from core_engine_teachers.options import EncoderOptions
from core_engine_teachers.pooling import POOLING

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = structlog.get_logger("core_engine.teachers")


class Encoder:
    """A Hugging Face model as a frozen Teacher.

    Nothing is loaded before the first ``encode``: ``dim`` comes from config.json and ``fingerprint`` from the
    files' digests.
    Raises TeacherError wherever the model cannot be loaded or used.
    """

    def __init__(self, located: Located, options: EncoderOptions, device: str) -> None:
        self._folder = located.path
        self._options = options
        self._device = device
        self._max_length = model_folder.resolve_max_length(located.path, options.max_length)
        dim = model_folder.hidden_size(located.path)
        if dim is None:
            raise TeacherError(f"{located.path}: config.json names no hidden size: not a text encoder")
        self.dim = dim

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self._folder, self._options, self._max_length)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """float32 ``[len(texts), dim]`` on the CPU, in the order of ``texts``; ``[0, dim]`` for no texts."""
        if isinstance(texts, str):
            raise TypeError("texts must be a sequence of texts, not one text")
        embeddings = torch.empty(len(texts), self.dim)  # made outside inference mode, so that autograd may use it
        if not texts:
            return embeddings
        from core_engine_teachers.quiet import quiet

        with quiet(), torch.inference_mode():
            tokens = self._tokenize(list(texts))
            lengths = [len(row) for row in tokens["input_ids"]]
            for indices in token_batches(lengths, self._options.batch_tokens):
                batch = {name: [rows[i] for i in indices] for name, rows in tokens.items()}
                embeddings[indices] = self._embed(batch).cpu()
        _require_finite(embeddings, texts)
        return embeddings

    def _tokenize(self, texts: list[str]) -> dict[str, list[list[int]]]:
        """Token ids, and what else the model takes, one unpadded row per text."""
        _require_unicode(texts)
        encoded = self._tokenizer(texts, padding=False, truncation=False, verbose=False)
        tokens: dict[str, list[list[int]]] = {name: encoded[name] for name in encoded if name in self._input_names}
        ids = tokens["input_ids"]
        if empty := [text for text, row in zip(texts, ids, strict=True) if not row]:
            raise TeacherError(f"text {empty[0][:80]!r} has no tokens ({len(empty)} such): drop empty texts")
        if long := [i for i, row in enumerate(ids) if len(row) > self._max_length]:
            longest = max(len(ids[i]) for i in long)
            log.warning("texts cut", count=len(long), of=len(texts), max_length=self._max_length, longest=longest)
            cut = self._tokenizer([texts[i] for i in long], padding=False, truncation=True, max_length=self._max_length)
            for name, rows in tokens.items():
                for i, row in zip(long, cut[name], strict=True):
                    rows[i] = row
        return tokens

    def _embed(self, batch: dict[str, list[list[int]]]) -> Tensor:
        """``[B, dim]`` on the device. Padding is on the right, where no real token of a causal model can see it."""
        inputs = {
            name: pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=self._padding(name))
            for name, rows in batch.items()
        }
        lengths = torch.tensor([len(row) for row in batch["input_ids"]])
        mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
        vocabulary = len(cast(Tensor, self._model.get_input_embeddings().weight))
        if int(inputs["input_ids"].max()) >= vocabulary:
            raise TeacherError(
                f"{self._folder}: the tokenizer gives ids beyond the model's {vocabulary}: "
                f"they belong to different models"
            )
        inputs["attention_mask"] = mask.long()
        output = self._model(**{name: tensor.to(self._device) for name, tensor in inputs.items()})
        hidden = output.last_hidden_state.float()
        if hidden.shape[-1] != self.dim:
            raise TeacherError(
                f"{self._folder}: hidden states have {hidden.shape[-1]} dimensions, but config.json says {self.dim}"
            )
        pooled = POOLING[self._options.pooling](hidden, mask.to(self._device))
        return F.normalize(pooled, dim=-1) if self._options.normalize else pooled

    def _padding(self, name: str) -> int:
        """What stands at padding; masked, so it only has to be valid."""
        if name != "input_ids":
            return 0
        pad, end = self._tokenizer.pad_token_id, self._tokenizer.eos_token_id
        return pad if pad is not None else end if end is not None else 0

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        from core_engine_teachers.loading import load_tokenizer

        return load_tokenizer(self._folder, self._options, self._max_length)

    @cached_property
    def _model(self) -> PreTrainedModel:
        from core_engine_teachers.loading import load_model

        started = time.perf_counter()
        model = load_model(self._folder, self._options, self._max_length, self._device)
        seconds = round(time.perf_counter() - started, 2)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        log.info(
            "teacher loaded", parameters=parameters, device=self._device, dtype=self._options.dtype, seconds=seconds
        )
        return model

    @cached_property
    def _input_names(self) -> frozenset[str]:
        return frozenset(inspect.signature(self._model.forward).parameters)


def _require_unicode(texts: list[str]) -> None:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise TeacherError(
                f"text {text[:80]!r} is not valid Unicode ({error.reason}): repair or drop it"
            ) from error


def _require_finite(embeddings: Tensor, texts: Sequence[str]) -> None:
    broken = (~embeddings.isfinite().all(1)).nonzero().flatten().tolist()
    if broken:
        raise TeacherError(
            f"the embedding of {texts[broken[0]][:80]!r} is not finite ({len(broken)} such of {len(texts)}): if the "
            f"teacher runs in float16, try dtype: bfloat16 or float32; otherwise its weights are damaged"
        )
