"""What a request that failed tells: whether it may pass, how long to wait, and what a user can do about it."""

from __future__ import annotations

import json
import time
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx
from attrs import frozen

from core_engine_remote.config import OpenAI

#: Besides 5xx: request timeout, conflict (of a lock, in OpenAI's API), too many requests.
_PASSING = frozenset({408, 409, 429})
_SHOWN = 200


@frozen
class Failure:
    """``lasting``: repeating the request cannot help. ``retry_after``: seconds that the endpoint asks to wait."""

    what: str
    remedy: str
    lasting: bool
    retry_after: float = 0.0


def unanswered(error: httpx.TransportError, options: OpenAI, key: str | None) -> Failure:
    """The endpoint gave no answer, or only a part of one."""
    text = shown(str(error), key) or "no details"
    if isinstance(error, httpx.TimeoutException):
        remedy = "check that the endpoint is up, or raise timeout or lower batch_size"
        return Failure(f"no answer within {options.timeout:g} s ({type(error).__name__})", remedy, lasting=False)
    remedy = "check base_url, that the endpoint is up, and the network (proxies and certificates among it)"
    return Failure(f"no answer ({type(error).__name__}: {text})", remedy, lasting=False)


def refused(response: httpx.Response, options: OpenAI, key: str | None) -> Failure:
    """The endpoint answered with a status other than 2xx."""
    status = response.status_code
    message = shown(_own_message(response.content), key)
    what = f"status {status}" + (f": {message}" if message else "")
    if response.has_redirect_location:
        target = shown(response.headers["Location"], key)
        what = f"status {status}: redirected to {target}, which is not followed, so that no key travels there"
        return Failure(what, "set base_url to the address you trust", lasting=True)
    if status == 429 and b'"insufficient_quota"' in response.content:
        return Failure(what, "the account has no quota left: check its plan and billing", lasting=True)
    lasting = status not in _PASSING and status < 500
    return Failure(what, _remedy(status, options, key), lasting, seconds_to_wait(response.headers.get("Retry-After")))


def _remedy(status: int, options: OpenAI, key: str | None) -> str:
    match status:
        case 401 if key is None:
            return f"set the environment variable {options.key_env} to your key"
        case 401:
            return f"set the environment variable {options.key_env} to a key that is valid there"
        case 403:
            return f"use a key that may use model {options.model!r} (environment variable {options.key_env})"
        case 404:
            return f"check base_url, which usually ends in /v1, and model {options.model!r}"
        case 400 | 413 | 422:
            return (
                "check model and send_dimensions; where texts are too long or too many tokens, lower batch_size, or "
                "filter long texts out of the data (data.filters.max_chars)"
            )
        case 429:
            return "set requests_per_minute or tokens_per_minute, or lower concurrency"
        case _ if status >= 500 or status in _PASSING:
            return "check that the endpoint is well, and try again later"
        case _:
            return "check base_url and model"


def seconds_to_wait(header: str | None) -> float:
    """The header Retry-After, which is seconds or a date (RFC 9110, 10.2.3); 0 where it is neither."""
    if header is None:
        return 0.0
    if header.strip().isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
        # The standard's older form, which names no zone, is in UTC as well.
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def shown(text: str, key: str | None) -> str:
    """``text`` on one line, without the key, and only then cut, so that no part of a key is left at its end.

    Endpoints quote the beginning of a key that they refuse, which goes too, from eight characters on.
    """
    if key:
        for length in range(len(key), min(8, len(key)) - 1, -1):
            text = text.replace(key[:length], "[key]")
    text = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _own_message(content: bytes) -> str:
    """The message within an error's body, as OpenAI, FastAPI and others write it, else the body itself."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", errors="replace")
    found = body
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and found.get(name):
            found = found[name]
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
