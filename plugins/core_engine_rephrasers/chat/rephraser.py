"""One endpoint, asked for the wordings of each text in turn."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from contextlib import closing
from threading import Event

import httpx
import structlog
from attrs import evolve
from core_engine_remote import address, endpoint, failures
from core_engine_remote.config import OpenAI
from core_engine_remote.endpoint import StoppedError
from core_engine_remote.failures import Failure
from core_engine_remote.key import from_environment
from core_engine_remote.workers import in_threads

from core_engine.errors import DataError
from core_engine_rephrasers import replies
from core_engine_rephrasers.chat import Chat
from core_engine_rephrasers.chat.memory import Memory

log = structlog.get_logger("core_engine.rephrasers")


class ChatRephraser:
    """Nothing is sent, and the key is not read, before the first ``rephrase``."""

    def __init__(self, options: Chat, base_url: str, seed: int) -> None:
        self._options = options
        self._base_url = base_url
        self._url = f"{base_url}/chat/completions"
        self._seed = seed
        self._jitter = random.Random()  # noqa: S311 -- a stream of its own, which decides nothing but waiting
        # What the messages of failures.py name: both endpoints are configured alike.
        self._named = OpenAI(model=options.model, dim=1, key_env=options.api_key_env, timeout=options.timeout)

    def rephrase(self, texts: Sequence[str], count: int) -> list[list[str]]:
        """Up to ``count`` wordings of each text, as many as the model gives. What it answered once is not asked again.

        Raises DataError at the first request that fails for good; those that wait are not sent any more.
        """
        key = from_environment(self._options.api_key_env)
        if key is not None and address.is_exposed(self._base_url):
            log.warning("the key travels unencrypted", base_url=self._base_url, remedy="use https")
        memory = Memory(self._url)
        found: list[list[str]] = [[] for _ in texts]
        with self._client(key) as client:

            def ask(text: str, stop: Event) -> list[str]:
                request = self._request(replies.filled(self._options.prompt, text, count))
                reply = memory.recall(request)
                if reply is None:
                    reply = self._answer(client, key, request, stop)
                    memory.keep(request, reply)
                return replies.wordings(reply, text, count)

            with closing(in_threads(ask, texts, self._options.concurrency)) as results:
                for number, wordings in results:
                    found[number] = wordings
        return found

    def _client(self, key: str | None) -> httpx.Client:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        try:
            return httpx.Client(headers=headers, timeout=self._options.timeout)
        except (httpx.InvalidURL, ImportError, ValueError, OSError) as error:  # OSError: a certificate file
            raise DataError(
                f"{self._url}: no HTTP client can be set up ({type(error).__name__}: {error}); check base_url and the "
                "environment variables HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE"
            ) from error

    def _request(self, prompt: str) -> dict[str, object]:
        return {
            "model": self._options.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self._options.temperature,
            "seed": self._seed,
        }

    def _answer(self, client: httpx.Client, key: str | None, request: dict[str, object], stop: Event) -> str:
        """The model's reply. DataError where there is none, StoppedError once ``stop`` is set."""
        for attempt in range(self._options.retries + 1):
            if stop.is_set():
                raise StoppedError
            outcome = self._post(client, key, request)
            if isinstance(outcome, httpx.Response):
                return self._content(outcome, key)
            asked_too_long = outcome.retry_after > endpoint.LONGEST_RETRY_AFTER
            if outcome.lasting or asked_too_long or attempt == self._options.retries:
                raise self._error(outcome, attempt + 1)
            delay = max(outcome.retry_after, self._backoff(attempt))
            log.info("request is repeated", reason=outcome.what, attempt=attempt + 1, wait_s=round(delay, 2))
            if stop.wait(delay):
                raise StoppedError
        raise AssertionError("the last attempt returns or raises")

    def _backoff(self, attempt: int) -> float:
        """Seconds, as for embeddings: see ``core_engine_remote.endpoint``."""
        return self._jitter.uniform(0, min(endpoint.LONGEST_DELAY, endpoint.FIRST_DELAY * 2 ** min(attempt, 30)))

    def _post(self, client: httpx.Client, key: str | None, request: dict[str, object]) -> httpx.Response | Failure:
        """A response of status 2xx, or why there is none."""
        try:
            response = client.post(self._url, json=request)
        except httpx.TimeoutException as error:
            return evolve(
                failures.unanswered(error, self._named, key), remedy="check that the endpoint is up, or raise timeout"
            )
        except httpx.TransportError as error:
            return failures.unanswered(error, self._named, key)
        except httpx.DecodingError as error:
            raise DataError(f"{self._url}: malformed answer: its compression is broken ({error})") from error
        if response.is_success:
            return response
        failure = failures.refused(response, self._named, key)
        if response.status_code in (400, 413, 422):
            return evolve(failure, remedy="check model, temperature and the length of prompt and texts")
        if response.status_code == 429 and not failure.lasting:
            return evolve(failure, remedy="lower concurrency, or run again later")
        return failure

    def _content(self, response: httpx.Response, key: str | None) -> str:
        try:
            content = json.loads(response.content)["choices"][0]["message"]["content"]
        except (ValueError, RecursionError, LookupError, TypeError) as error:
            start = failures.shown(response.content[:1000].decode("utf-8", errors="replace"), key)
            raise DataError(
                f"{self._url}: malformed answer: no choices[0].message.content in {start!r}; check base_url, which "
                "usually ends in /v1"
            ) from error
        if not isinstance(content, str):
            raise DataError(f"{self._url}: malformed answer: the message is no text; use a model that writes text")
        return content

    def _error(self, failure: Failure, attempts: int) -> DataError:
        tries = f" ({attempts} attempts)" if attempts > 1 else ""
        return DataError(f"{self._url}: {failure.what}{tries}; {failure.remedy}")
