"""The one encoder behind all teachers of this package."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import attrs
import structlog
import torch
import torch.nn.functional as F
from torch import Tensor

from core_engine.errors import TeacherError
from core_engine_teachers import devices, model_folder
from core_engine_teachers.batching import BatchQueue
from core_engine_teachers.checks import require_room, require_text, require_usable
from core_engine_teachers.fingerprint import fingerprint
from core_engine_teachers.forward import Forward, TorchForward
from core_engine_teachers.locate import Located
from core_engine_teachers.options import EncoderOptions
from core_engine_teachers.pooling import POOLING
from core_engine_teachers.tokens import Tokenization, Tokens
from core_engine_teachers.workers import DoesNotFitError, compute

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = structlog.get_logger("core_engine.teachers")

#: hidden states float32 ``[B, T, D]`` and mask bool ``[B, T]`` to ``[B, D']``.
Pool = Callable[[Tensor, Tensor], Tensor]
#: ``[B, D'] -> [B, D2]``, float32, on the device of its input.
Head = Callable[[Tensor], Tensor]

_CHARS_PER_TOKEN = 4


#: Options that change embeddings, and that people are told of where they are not the usual ones.
_UNUSUAL = ("layer", "prompt", "special_tokens", "normalize", "too_long", "quantization")


def _tells_apart(attribute: attrs.Attribute[object], value: object) -> bool:
    return attribute.name in _UNUSUAL and value != attribute.default


class Encoder:
    """A model as a frozen Teacher.

    Nothing is loaded before the first ``encode``: ``dim`` comes from config.json and ``fingerprint`` from the
    files' digests.
    ``load`` makes what computes hidden states, by default transformers on ``device``. ``pool`` stands in place of
    ``options.pooling``, and ``head`` comes between pooling and normalisation; where they change the dimension, ``dim``
    is what comes out. ``identity``: what else the embeddings depend on, as JSON has it, for the fingerprint.
    Raises TeacherError wherever the model cannot be loaded or used.
    """

    def __init__(
        self,
        located: Located,
        options: EncoderOptions,
        device: str,
        *,
        load: Callable[[], Forward] | None = None,
        pool: Pool | None = None,
        head: Head | None = None,
        dim: int | None = None,
        identity: Mapping[str, object] | None = None,
    ) -> None:
        self._folder = located.path
        self._model_name = located.model
        # ``auto`` and the precision that it stands for are one thing from here on, for the fingerprint too.
        self._options = attrs.evolve(options, dtype=model_folder.resolve_dtype(located.path, options.dtype))
        self._device = device
        self._max_length = model_folder.resolve_max_length(located.path, options.max_length)
        hidden_states = model_folder.hidden_states(located.path)
        if hidden_states is not None:
            model_folder.require_layers(options.layers, hidden_states, located.path)
        dim = model_folder.hidden_size(located.path) if dim is None else dim
        if dim is None:
            raise TeacherError(f"{located.path}: config.json names no hidden size: not a text encoder")
        self.dim = dim
        self._load = load
        self._pool = POOLING[options.pooling] if pool is None else pool
        self._head = head
        self._identity = dict(identity or {})
        self._on_cpu = devices.computes_on_cpu(device, options)
        self._batch_tokens = devices.batch_tokens(options, self._on_cpu)
        self._counts = {"tokens": 0, "cut": 0}
        self._counting = threading.Lock()

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self._folder, self._options, self._max_length, self._identity)

    @property
    def description(self) -> Mapping[str, object]:
        """What people want to know of the model in a few words."""
        return {
            "model": self._model_name,
            "pooling": self._options.pooling,
            "dtype": self._options.dtype,
            "max_length": self._max_length,
            **attrs.asdict(self._options, filter=_tells_apart),
        }

    @property
    def usage(self) -> Mapping[str, int]:
        """Counts since this was built: ``tokens`` computed, without padding, and texts ``cut``."""
        with self._counting:
            return dict(self._counts)

    @property
    def chars_per_call(self) -> int:
        """Characters of text worth handing over at a time: several batches, so that like lengths meet."""
        return _CHARS_PER_TOKEN * self._batch_tokens * (16 if self._on_cpu else 4)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """float32 ``[len(texts), dim]`` on the CPU, in the order of ``texts``; ``[0, dim]`` for no texts."""
        if isinstance(texts, str):
            raise TypeError("texts must be a sequence of texts, not one text")
        embeddings = torch.empty(len(texts), self.dim)  # made outside inference mode, so that autograd may use it
        if not texts:
            return embeddings
        require_text(texts)
        from core_engine_teachers.quiet import quiet

        with quiet(), torch.inference_mode():
            tokens = self._tokenization(texts)
            self._count(cut=tokens.cut)
            self._compute(tokens, texts, embeddings)
        require_usable(embeddings, texts)
        return embeddings

    def check_texts(self, texts: Sequence[str]) -> None:
        """TeacherError where ``encode`` would refuse one of them; what is too long is counted over all of them."""
        require_text(texts)
        from core_engine_teachers.quiet import quiet

        with quiet():
            self._tokenization.require_short(texts)

    def close(self) -> None:
        """Drop model and tokenizer and free their memory; a later ``encode`` loads them again."""
        self.__dict__.pop("_forward", None)
        self.__dict__.pop("_tokenization", None)
        devices.free_memory()

    def _compute(self, tokens: Tokens, texts: Sequence[str], embeddings: Tensor) -> None:
        """Fill ``embeddings``, float32 ``[len(texts), dim]``."""
        queue = BatchQueue(tokens.lengths, self._batch_tokens)

        def work(indices: list[int]) -> None:
            inputs = self._tokenization.padded(tokens, indices)
            embeddings[indices] = self._embed(inputs).cpu()
            self._count(tokens=sum(tokens.lengths[i] for i in indices))

        try:
            compute(queue, work, devices.workers(self._options, self._on_cpu))
        except DoesNotFitError as error:
            text = texts[error.index]
            raise TeacherError(
                f"a text of {tokens.lengths[error.index]} tokens does not fit in the memory of {self._device}: "
                f"{text[:80]!r}. Lower max_length and set too_long: cut, use a smaller dtype, or free memory"
            ) from error
        finally:
            self._batch_tokens = queue.budget  # what did not fit once is not tried again

    def _embed(self, inputs: dict[str, Tensor]) -> Tensor:
        """float32 ``[B, dim]``, on the device where the hidden states come out."""
        hidden = self._forward(inputs).float()
        pooled = self._pool(hidden, inputs["attention_mask"].bool().to(hidden.device))
        if self._head is not None:
            pooled = self._head(pooled)
        if pooled.shape[-1] != self.dim:
            raise TeacherError(
                f"{self._folder}: embeddings have {pooled.shape[-1]} dimensions, but its files say {self.dim}"
            )
        return F.normalize(pooled, dim=-1) if self._options.normalize else pooled

    def _count(self, **more: int) -> None:
        with self._counting:
            for name, number in more.items():
                self._counts[name] += number

    @cached_property
    def _tokenization(self) -> Tokenization:
        tokenizer = self._load_tokenizer()
        require_room(tokenizer, self._options, self._max_length, self._folder)
        return Tokenization(tokenizer, self._options, self._max_length, self._forward, self._folder)

    def _load_tokenizer(self) -> PreTrainedTokenizerBase:
        from core_engine_teachers.loading import load_tokenizer

        return load_tokenizer(self._folder, self._options)

    @cached_property
    def _forward(self) -> Forward:
        from core_engine_teachers.loading import load_forward

        if self._load is not None:
            return self._load()
        started = time.perf_counter()
        forward: TorchForward = load_forward(self._folder, self._options, self._max_length, self._device)
        parameters = sum(parameter.numel() for parameter in forward.model.parameters())
        log.info(
            "teacher loaded",
            parameters=parameters,
            device=self._device,
            dtype=self._options.dtype,
            seconds=round(time.perf_counter() - started, 2),
        )
        return forward
