"""A frozen encoder at the other end of a network connection."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cached_property

import torch
from torch import Tensor

from core_engine.errors import TeacherError
from core_engine_remote.config import OpenAI
from core_engine_remote.endpoint import Endpoint
from core_engine_remote.usage import Usage
from core_engine_remote.workers import in_threads

#: Raise it when this package gives other embeddings than before from the same endpoint and options.
VERSION = 1
#: Characters that a text is taken to have, where a call's size has to be chosen before the texts are seen.
_CHARS_PER_TEXT = 400


class RemoteTeacher:
    """An OpenAI-compatible endpoint as a frozen Teacher.

    Nothing is sent, and the key is not read, before the first ``encode``. ``chars_per_call``: how many characters of
    text keep all of its connections busy once. ``close`` gives up the connections; a later ``encode`` opens new ones.
    """

    def __init__(self, options: OpenAI, base_url: str) -> None:
        self._options = options
        self._base_url = base_url
        self._usage = Usage()
        self._endpoint: Endpoint | None = None
        self.dim = options.dim
        self.chars_per_call = options.batch_size * options.concurrency * _CHARS_PER_TEXT

    @cached_property
    def fingerprint(self) -> str:
        """sha256, in hex. The key and how requests are sent are no part of it."""
        options = self._options
        identity = {
            "openai": VERSION,
            "base_url": self._base_url,
            "model": options.model,
            "dim": options.dim,
            "send_dimensions": options.send_dimensions,
            "prompt": options.prompt,
            "normalize": options.normalize,
            "revision": options.revision,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    @property
    def usage(self) -> Mapping[str, int]:
        """Of all calls so far: ``tokens`` as the endpoint counts them, ``requests`` sent, ``retries`` among them."""
        return self._usage.snapshot()

    @property
    def description(self) -> Mapping[str, str]:
        return {"model": self._options.model, "base_url": self._base_url}

    def encode(self, texts: Sequence[str]) -> Tensor:
        """float32 ``[len(texts), dim]`` on the CPU, in the order of ``texts``; ``[0, dim]`` for no texts.

        Raises TeacherError at the first request that fails for good; those that wait are not sent any more.
        """
        if isinstance(texts, str):
            raise TypeError("texts must be a sequence of texts, not one text")
        embeddings = torch.empty(len(texts), self.dim)
        if not texts:
            return embeddings
        _require_unicode(texts)
        if self._endpoint is None:
            self._endpoint = Endpoint(self._options, self._base_url, self._usage)
        size = self._options.batch_size
        batches = [texts[start : start + size] for start in range(0, len(texts), size)]
        with closing(in_threads(self._endpoint.embed, batches, self._options.concurrency)) as results:
            for number, rows in results:
                embeddings[number * size : number * size + len(rows)] = rows
        return embeddings

    def close(self) -> None:
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None


def _require_unicode(texts: Sequence[str]) -> None:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise TeacherError(f"text {text[:80]!r} is not valid Unicode ({error.reason}): repair or drop it") from None
