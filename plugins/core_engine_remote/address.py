"""Addresses of endpoints: one spelling for each, and never with credentials."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from core_engine.errors import TeacherError

VARIABLE = "OPENAI_BASE_URL"
DEFAULT = "https://api.openai.com/v1"

_DEFAULT_PORTS = {"http": 80, "https": 443}


def resolved(base_url: str | None) -> str:
    """``base_url``, else OPENAI_BASE_URL, else OpenAI's own address. TeacherError for an unusable variable."""
    if base_url is not None:
        return normalised(base_url)
    try:
        return normalised(os.environ.get(VARIABLE) or DEFAULT)
    except ValueError as error:
        raise TeacherError(f"environment variable {VARIABLE}: {error}") from None


def normalised(url: str) -> str:
    """``scheme://host[:port][/path]`` without a slash at the end. ValueError where ``url`` is not such an address.

    No message repeats a part that may be secret.
    """
    if "@" in url:
        raise ValueError("an address with a user name or password cannot be kept secret; give the key by key_env")
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if scheme not in _DEFAULT_PORTS or not host or any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError(f"not an address: {url[:80]!r}; write it like {DEFAULT} or http://localhost:8000/v1")
    if parts.query or parts.fragment:
        raise ValueError("an address with a part after '?' or '#' is not supported; give it up to /v1")
    if parts.path.rstrip("/").endswith("/embeddings"):
        raise ValueError("give the address without '/embeddings', which is added to it")
    host = f"[{host}]" if ":" in host else host
    suffix = "" if port in (None, _DEFAULT_PORTS[scheme]) else f":{port}"
    return f"{scheme}://{host}{suffix}{parts.path.rstrip('/')}"


def is_exposed(url: str) -> bool:
    """Whether what is sent to ``url`` can be read on the way: plain http to another machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "http" or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
