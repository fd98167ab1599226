"""What is known of the teacher ``openai`` before anyone is asked."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from core_engine_remote import OpenAI, address, config, teachers
from hypothesis import given
from hypothesis import strategies as st

from core_engine import TeacherContext
from core_engine.errors import PluginError, TeacherError

CONTEXT = TeacherContext(device="cpu")


def test_the_plugin_offers_it() -> None:
    assert {c.name: c.config for c in teachers()} == {"openai": OpenAI}


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, core_engine_remote; core_engine_remote.teachers()\n"
        "teacher = core_engine_remote.OpenAI(model='m', dim=3)\n"
        "assert (list(teacher.check()), teacher.embedding_dim()) == ([], 3)\n"
        "assert not {'torch', 'httpx', 'structlog', 'ssl', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_httpx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "find_spec", lambda name: None)
    options = OpenAI(model="m", dim=3)
    assert list(options.check()) == [("type", 'needs the package httpx: pip install "core-engine[remote]"')]
    for name in ("teacher", "endpoint", "failures", "answer"):
        monkeypatch.delitem(sys.modules, f"core_engine_remote.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(PluginError, match=r'teacher openai needs the package httpx: pip install "core-engine\[remote'):
        options.build(CONTEXT)


@pytest.mark.parametrize(
    "options",
    [
        {"model": ""},
        {"dim": 0},
        {"batch_size": 0},
        {"concurrency": 0},
        {"requests_per_minute": 0},
        {"tokens_per_minute": 0},
        {"timeout": 0.0},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"retries": -1},
        {"key_env": ""},
        {"key_env": "not a name"},
    ],
    ids=str,
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        OpenAI(**{"model": "m", "dim": 3, **options})


def test_a_key_in_the_place_of_its_name_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="the key itself never stands in a recipe") as error:
        OpenAI(model="m", dim=3, key_env="sk-secret")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("HTTPS://API.OpenAI.com:443/v1//", "https://api.openai.com/v1"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:8000/a/v1/", "http://localhost:8000/a/v1"),
        ("https://host:80/v1", "https://host:80/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_addresses_have_one_spelling(written: str, meant: str) -> None:
    assert address.normalised(written) == meant
    assert address.normalised(meant) == meant
    spelled = [OpenAI(model="m", dim=3, base_url=url).build(CONTEXT) for url in (written, meant)]
    assert spelled[0].fingerprint == spelled[1].fingerprint
    assert spelled[0].description == {"model": "m", "base_url": meant}


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000/v1",
        "api.openai.com",
        "ftp://host/v1",
        "http://",
        "http://host:x/v1",
        "http://[::1/v1",
        "",
        "//host",
        "http://host/v1?a=b",
        "http://host/v1#a",
        "http://ho st/v1",
        "http://host/v1\n",
    ],
)
def test_what_is_no_address(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="address"):
        OpenAI(model="m", dim=3, base_url=url)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    options = OpenAI(model="m", dim=3)
    problems = list(options.check())
    assert [option for option, _ in problems] == (["base_url"] if url else [])
    assert all("OPENAI_BASE_URL" in problem for _, problem in problems)


@pytest.mark.parametrize(
    "url", ["https://me:hunter2@host/v1", "http://hunter2@[x/v1", "https://me:hunter2@host:port/v1"]
)
def test_credentials_in_an_address_are_refused_and_not_repeated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="user name or password") as refused:
        OpenAI(model="m", dim=3, base_url=url)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(TeacherError, match=r"OPENAI_BASE_URL: .*user name or password") as built:
        OpenAI(model="m", dim=3).build(CONTEXT)
    assert "hunter2" not in str(refused.value) + str(built.value)


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    for url in (text, f"http://{text}", f"https://host/{text}"):
        try:
            found = address.normalised(url)
        except ValueError:
            continue
        assert address.normalised(found) == found


def test_where_the_address_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    assert address.resolved(None) == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1/")
    assert address.resolved(None) == "http://localhost:8000/v1"
    assert address.resolved("http://other/v1") == "http://other/v1"


def fingerprint(**options: Any) -> str:
    return OpenAI(**{"model": "m", "dim": 3, **options}).build(CONTEXT).fingerprint


def test_the_fingerprint_is_of_what_embeddings_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    base = fingerprint()
    others = [
        fingerprint(**{name: value})
        for name, value in {
            "model": "n",
            "dim": 4,
            "base_url": "http://localhost/v1",
            "send_dimensions": True,
            "prompt": "query: ",
            "normalize": False,
            "revision": "2",
        }.items()
    ]
    assert len({base, *others}) == 8
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    same = {"batch_size": 1, "concurrency": 9, "timeout": 1.0, "retries": 0, "key_env": "OTHER"}
    assert {base} == {fingerprint(**{name: value}) for name, value in same.items()}
    assert base == fingerprint(base_url="https://api.openai.com/v1", requests_per_minute=1, tokens_per_minute=1)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost/v1")
    assert fingerprint() == fingerprint(base_url="http://localhost/v1") != base


def test_a_calls_size() -> None:
    assert OpenAI(model="m", dim=3, batch_size=10, concurrency=3).build(CONTEXT).chars_per_call == 12_000
