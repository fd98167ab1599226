"""The component ``openai``: any endpoint that speaks OpenAI's embeddings API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from attrs import Attribute, field, frozen
from attrs.validators import and_, ge, gt, le, min_len, optional

from core_engine import TeacherContext
from core_engine.errors import PluginError, TeacherError
from core_engine_remote import address

if TYPE_CHECKING:
    from core_engine_remote.teacher import RemoteTeacher

_NEEDS_HTTPX = 'needs the package httpx: pip install "core-engine[remote]"'


def _name_of_variable(instance: Any, attribute: Attribute[str], value: str) -> None:
    # The value is not repeated: it may be the key itself. Keys have lower-case letters or hyphens as a rule.
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
        raise ValueError(
            "'key_env' must be the NAME of an environment variable, in capital letters, digits and underscores, such "
            "as OPENAI_API_KEY; the key itself never stands in a recipe"
        )


def _address(instance: Any, attribute: Attribute[str | None], value: str | None) -> None:
    if value is not None:
        address.normalised(value)


@frozen(kw_only=True)
class OpenAI:
    """An OpenAI-compatible ``/v1/embeddings`` endpoint: OpenAI, vLLM, TEI, Ollama, LiteLLM and others.

    ``model``: the name the endpoint knows it by. ``dim``: the dimension of its embeddings; every answer is checked
    against it. ``base_url``: the address up to ``/v1``; None for the environment variable OPENAI_BASE_URL, else
    OpenAI's own.
    ``key_env``: the name of the environment variable with the key; none is sent where it is not set.
    ``send_dimensions``: ask the endpoint to shorten embeddings to ``dim``. ``prompt``: stands before every text.
    ``batch_size``: texts per request. ``concurrency``: requests in flight.
    ``requests_per_minute``, ``tokens_per_minute``: limits kept here, evenly spread; a token counts as four characters
    until the endpoint has said how many there were. ``timeout``: seconds to wait for a connection, or the next byte.
    ``retries``: how often a request is repeated after a failure that may pass. ``normalize``: embeddings of unit
    length. ``revision``: a label of your own, to be changed when the endpoint's model changes under the same name.
    """

    model: str = field(validator=min_len(1))
    dim: int = field(validator=ge(1))
    base_url: str | None = field(default=None, validator=_address)
    key_env: str = field(default="OPENAI_API_KEY", validator=_name_of_variable)
    send_dimensions: bool = False
    prompt: str = ""
    batch_size: int = field(default=64, validator=ge(1))
    concurrency: int = field(default=4, validator=ge(1))
    requests_per_minute: int | None = field(default=None, validator=optional(ge(1)))
    tokens_per_minute: int | None = field(default=None, validator=optional(ge(1)))
    timeout: float = field(default=60.0, validator=and_(gt(0), le(3600)))
    retries: int = field(default=6, validator=ge(0))
    normalize: bool = True
    revision: str = ""

    def check(self) -> Iterator[tuple[str, str]]:
        if find_spec("httpx") is None:
            yield "type", _NEEDS_HTTPX
        try:
            address.resolved(self.base_url)
        except TeacherError as error:
            yield "base_url", str(error)

    def embedding_dim(self) -> int:
        return self.dim

    def build(self, context: TeacherContext) -> RemoteTeacher:
        """Calls nobody. TeacherError for an address in the environment that cannot be used, PluginError without
        httpx.
        """
        try:
            from core_engine_remote.teacher import RemoteTeacher
        except ImportError as error:
            raise PluginError(f"teacher openai {_NEEDS_HTTPX} ({error})") from error
        return RemoteTeacher(self, address.resolved(self.base_url))
