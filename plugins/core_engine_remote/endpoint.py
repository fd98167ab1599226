"""One endpoint: a batch of texts is sent until it is answered or has failed for good."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from threading import Event

import httpx
import structlog
from torch import Tensor

from core_engine.errors import TeacherError
from core_engine_remote import address, answer, failures
from core_engine_remote.answer import MalformedError
from core_engine_remote.config import OpenAI
from core_engine_remote.failures import Failure
from core_engine_remote.key import from_environment
from core_engine_remote.pace import Pace
from core_engine_remote.usage import Usage

log = structlog.get_logger("core_engine.remote")

#: Seconds. Before the n-th repetition a random time up to FIRST_DELAY * 2^(n-1), at most LONGEST_DELAY, is waited
#: ("full jitter": Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
#: Seconds. An endpoint that asks for a longer wait is taken as a refusal.
LONGEST_RETRY_AFTER = 300.0
_CHARS_PER_TOKEN = 4


class StoppedError(Exception):
    """Another request has failed for good, so this one is of no use any more."""


class Endpoint:
    """Used from several threads at a time. ``now`` gives seconds for the rate limits.

    Raises TeacherError where no HTTP client can be set up.
    """

    def __init__(self, options: OpenAI, base_url: str, usage: Usage, now: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._url = f"{base_url}/embeddings"
        self._usage = usage
        self._requests = None if options.requests_per_minute is None else Pace(options.requests_per_minute, now)
        self._tokens = None if options.tokens_per_minute is None else Pace(options.tokens_per_minute, now)
        self._jitter = random.Random()  # noqa: S311 -- a stream of its own, and nothing secret
        self._key = from_environment(options.key_env)
        headers = {} if self._key is None else {"Authorization": f"Bearer {self._key}"}
        try:
            httpx.URL(self._url)
            self._client = httpx.Client(
                headers=headers,
                timeout=options.timeout,
                limits=httpx.Limits(max_keepalive_connections=options.concurrency),
            )
        except (httpx.InvalidURL, ImportError, ValueError, OSError) as error:  # OSError: a certificate file
            raise TeacherError(
                f"{self._url}: no HTTP client can be set up ({type(error).__name__}: {error}); check base_url and the "
                "environment variables HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE"
            ) from error
        if self._key is not None and address.is_exposed(base_url):
            log.warning("the key travels unencrypted", base_url=base_url, key_env=options.key_env, remedy="use https")

    def close(self) -> None:
        self._client.close()

    def embed(self, texts: Sequence[str], stop: Event) -> Tensor:
        """float32 ``[len(texts), dim]``. TeacherError where the endpoint does not give them, StoppedError once
        ``stop`` is set.
        """
        inputs = [self._options.prompt + text for text in texts]
        estimate = sum(map(len, inputs)) // _CHARS_PER_TOKEN + 1
        for attempt in range(self._options.retries + 1):
            self._wait(self._turn(estimate), stop)
            self._usage.add(requests=1, retries=int(attempt > 0))
            outcome = self._post(inputs)
            if isinstance(outcome, httpx.Response):
                return self._read(outcome, len(inputs), estimate)
            if outcome.lasting or attempt == self._options.retries:
                raise self._error(outcome, attempt + 1)
            if outcome.retry_after > LONGEST_RETRY_AFTER:
                raise self._too_long(outcome)
            delay = max(outcome.retry_after, self._backoff(attempt))
            log.info("request is repeated", reason=outcome.what, attempt=attempt + 1, wait_s=round(delay, 2))
            self._wait(delay, stop)
        raise AssertionError("the last attempt returns or raises")

    def _turn(self, tokens: int) -> float:
        """Seconds until the rate limits let a request with so many tokens go."""
        turns = [(self._requests, 1), (self._tokens, tokens)]
        return max(0.0 if pace is None else pace.reserve(units) for pace, units in turns)

    def _wait(self, seconds: float, stop: Event) -> None:
        if stop.is_set() or (seconds > 0 and stop.wait(seconds)):
            raise StoppedError

    def _backoff(self, attempt: int) -> float:
        return self._jitter.uniform(0, min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(attempt, 30)))

    def _post(self, inputs: list[str]) -> httpx.Response | Failure:
        """A response of status 2xx, or why there is none."""
        body: dict[str, object] = {"model": self._options.model, "input": inputs, "encoding_format": "float"}
        if self._options.send_dimensions:
            body["dimensions"] = self._options.dim
        try:
            response = self._client.post(self._url, json=body)
        except httpx.TransportError as error:
            return failures.unanswered(error, self._options, self._key)
        except httpx.DecodingError as error:
            raise self._malformed(f"its compression is broken ({error})") from error
        return response if response.is_success else failures.refused(response, self._options, self._key)

    def _read(self, response: httpx.Response, count: int, estimate: int) -> Tensor:
        try:
            found = answer.read(response.content, count, self._options.dim, self._options.normalize, self._key)
        except MalformedError as error:
            raise self._malformed(str(error)) from error
        if found.tokens is not None:
            self._usage.add(tokens=found.tokens)
            if self._tokens is not None:
                self._tokens.correct(found.tokens - estimate)
        return found.rows

    def _malformed(self, problem: str) -> TeacherError:
        return TeacherError(f"{self._url}: malformed answer: {problem} (model {self._options.model!r})")

    def _error(self, failure: Failure, attempts: int) -> TeacherError:
        tries = f" ({attempts} attempts)" if attempts > 1 else ""
        return TeacherError(f"{self._url}: {failure.what}{tries}; {failure.remedy}")

    def _too_long(self, failure: Failure) -> TeacherError:
        return TeacherError(
            f"{self._url}: {failure.what}; it asks to wait {failure.retry_after:.0f} s, longer than the "
            f"{LONGEST_RETRY_AFTER:.0f} s that are waited here: run again later; what is stored is not asked for again"
        )
