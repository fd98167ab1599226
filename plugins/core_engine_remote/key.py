"""The key of an endpoint: read when it is needed, and kept out of everything but the request's header."""

from __future__ import annotations

import os
import re

from core_engine.errors import TeacherError


def from_environment(name: str) -> str | None:
    """The key in environment variable ``name``; None where it is unset or empty. TeacherError for what is no key."""
    key = os.environ.get(name)
    if not key:
        return None
    # Anything else fails in the HTTP library, with a message that repeats the header.
    if not re.fullmatch(r"[!#-\[\]-~]+", key):
        raise TeacherError(
            f"environment variable {name}: holds characters that no key has, such as a blank, a line break or quotes; "
            "set it to the key alone"
        )
    return key
