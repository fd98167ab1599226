"""The rephraser ``chat``: any endpoint that speaks OpenAI's chat completions API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from attrs import Attribute, field, frozen
from attrs.validators import and_, ge, gt, le, min_len, optional
from core_engine_remote import address

from core_engine import RephraserContext
from core_engine.errors import EngineError, PluginError
from core_engine_rephrasers.replies import is_prompt

if TYPE_CHECKING:
    from core_engine_rephrasers.chat.rephraser import ChatRephraser

_NEEDS_HTTPX = 'needs the package httpx: pip install "core-engine[remote]"'


def _name_of_variable(instance: Any, attribute: Attribute[str], value: str) -> None:
    # The value is not repeated: it may be the key itself.
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
        raise ValueError(
            f"'{attribute.name}' must be the NAME of an environment variable, in capital letters, digits and "
            "underscores, such as OPENAI_API_KEY; the key itself never stands in a recipe"
        )


def _address(instance: Any, attribute: Attribute[str | None], value: str | None) -> None:
    if value is not None:
        address.normalised(value)


@frozen(kw_only=True)
class Chat:
    """A chat model behind an OpenAI-compatible ``/v1/chat/completions`` endpoint.

    ``model``: the name the endpoint knows it by. ``base_url``: the address up to ``/v1``; None for the environment
    variable OPENAI_BASE_URL, else OpenAI's own. ``api_key_env``: the name of the environment variable with the key;
    none is sent where it is not set. ``prompt``: what the model is asked, with ``{text}`` and ``{count}`` filled in; it
    answers with one wording on each line; None for the one in replies.py. ``temperature``: 0 asks for the likeliest
    answer. ``concurrency``: requests in flight, each with one text. ``timeout``: seconds to wait for a connection, or
    the next byte. ``retries``: how often a request is repeated after a failure that may pass.
    """

    model: str = field(validator=min_len(1))
    base_url: str | None = field(default=None, validator=_address)
    api_key_env: str = field(default="OPENAI_API_KEY", validator=_name_of_variable)
    prompt: str | None = field(default=None, validator=optional(is_prompt))
    temperature: float = field(default=0.7, validator=and_(ge(0), le(2)))
    concurrency: int = field(default=4, validator=ge(1))
    timeout: float = field(default=60.0, validator=and_(gt(0), le(3600)))
    retries: int = field(default=6, validator=ge(0))

    def check(self) -> Iterator[tuple[str, str]]:
        if find_spec("httpx") is None:
            yield "", _NEEDS_HTTPX
        try:
            address.resolved(self.base_url)
        except EngineError as error:
            yield "base_url", str(error)

    def build(self, context: RephraserContext) -> ChatRephraser:
        """Calls nobody. TeacherError for an unusable address in the environment, PluginError without httpx."""
        try:
            from core_engine_rephrasers.chat.rephraser import ChatRephraser
        except ImportError as error:
            raise PluginError(f"rephraser chat {_NEEDS_HTTPX} ({error})") from error
        return ChatRephraser(self, address.resolved(self.base_url), context.seed)
