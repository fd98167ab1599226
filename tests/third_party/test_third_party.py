"""Plugins of other people's, each installed as a distribution of its own."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core_engine import Kind
from core_engine.host.host import PluginHost

RECIPE = Path(__file__).parent / "acme.yaml"
BUNDLED_LOSSES = PluginHost.discover().registry.names(Kind.LOSS)
Engine = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Path]:
    """The recipe of acme-lattice, with other texts in the place of some."""

    def write(*replacements: tuple[str, str]) -> Path:
        text = RECIPE.read_text()
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "r.yaml"
        path.write_text(text)
        return path

    return write


def plugins(engine: Engine, *packages: str, **more: Any) -> dict[str, Any]:
    listing: dict[str, Any] = json.loads(engine("plugins", "--json", packages=packages, **more).stdout)
    return listing


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What was said on stderr; a single problem is announced with the program's name."""
    return [line.removeprefix("core-engine: ") for line in done.stderr.splitlines()]


def test_what_it_supplies_is_listed_with_its_distribution(engine: Engine) -> None:
    listing = plugins(engine, "acme-lattice")
    (acme,) = [plugin for plugin in listing["plugins"] if plugin["name"] == "acme"]
    assert (acme["distribution"], acme["version"]) == ("acme-lattice", "1.2")
    assert {(c["kind"], c["name"]): c["summary"] for c in acme["components"]} == {
        ("loss", "cauchy"): "Cauchy loss: quadratic below delta, logarithmic beyond (Black and Anandan, 1996).",
        ("data_source", "arithmetic"): (
            "Sums of two numbers below ``largest``, as questions and answers; the first number is the group."
        ),
        ("reshape", "shuffled"): (
            "Each value of the embedding at a place of its own, drawn at random; exact in both directions."
        ),
        ("backend", "gathered"): (
            "Stencil cells whose neighbourhoods are written down, and multiplied in one product."
        ),
    }
    assert (listing["failed"], listing["conflicts"], listing["disabled"]) == ([], [], [])
    assert "cauchy         Cauchy loss: " in engine("plugins", packages=("acme-lattice",)).stdout


def test_a_recipe_uses_it(engine: Engine) -> None:
    done = engine("check", RECIPE, packages=("acme-lattice",))
    assert done.stdout.splitlines()[-1] == f"{RECIPE}: ok"
    assert "100% of the inputs can reach an output" in done.stdout
    explained = engine("explain", RECIPE, packages=("acme-lattice",)).stdout
    for slot in ("data.train", "reshape", "loss[0]"):
        assert [line.split("from ")[1] for line in explained.splitlines() if line.split()[:1] == [slot]] == [
            "acme, acme-lattice 1.2"
        ]


def test_its_backend_computes_the_bundled_cell(engine: Engine) -> None:
    lines = engine("kernels", RECIPE, "device=cpu", packages=("acme-lattice",)).stdout.splitlines()
    assert lines[0] == "stencil: 4x2x2 cells, 32 channels, 4 steps, batch 16, float32, memory none, on cpu"
    assert lines[1].startswith("runs     gathered  (relative error against the reference: ")
    changes = ("device=cpu", "lattice.backend=auto", "lattice.kernel={type: stencil, boundary: periodic, hidden: 7}")
    lines = engine("kernels", RECIPE, *changes, packages=("acme-lattice",)).stdout.splitlines()
    assert lines[1] == "runs     reference"
    assert "refused  gathered: it computes residual gelu cells without noise, with a zero boundary" in lines


def test_a_wrong_option_of_it_names_it(engine: Engine) -> None:
    done = engine("check", RECIPE, "loss[0].delta=0", "loss[0].detla=1", packages=("acme-lattice",), code=2)
    assert lines(done) == [
        "override 'loss[0].delta=0': loss[0].delta: 'delta' must be > 0: 0.0 (acme, acme-lattice 1.2)",
        "override 'loss[0].detla=1': loss[0].detla: unknown key; did you mean 'delta'? (acme, acme-lattice 1.2)",
    ]


def test_without_it_the_recipe_fails_and_says_what_is_missing(engine: Engine) -> None:
    done = engine("check", RECIPE, code=2)
    assert lines(done) == [
        f"{RECIPE}:2:12: requires.acme-lattice: acme-lattice is not installed; run: pip install 'acme-lattice>=1.2,<2'",
        f"{RECIPE}:8:11: data.train.type: no data_source named 'arithmetic' is installed; is a plugin package missing? "
        f"installed: {', '.join(PluginHost.discover().registry.names(Kind.DATA_SOURCE))}",
        f"{RECIPE}:10:11: reshape.type: no reshape named 'shuffled' is installed; is a plugin package missing? "
        "installed: linear, projection",
        f"{RECIPE}:16:3: lattice.backend: no backend named 'gathered' is installed; is a plugin package missing? "
        f"installed: {', '.join(PluginHost.discover().registry.names(Kind.BACKEND))}; also known: auto, reference",
        f"{RECIPE}:18:6: loss[0].type: no loss named 'cauchy' is installed; is a plugin package missing? "
        f"installed: {', '.join(BUNDLED_LOSSES)}",
    ]
    assert done.stdout == ""


def test_another_version_than_required(engine: Engine, recipe: Callable[..., Path]) -> None:
    path = recipe((">=1.2,<2", ">=1.3"))
    done = engine("check", path, packages=("acme-lattice",), code=2)
    assert lines(done) == [
        "r.yaml:2:12: requires.acme-lattice: acme-lattice 1.2 is installed; run: pip install 'acme-lattice>=1.3'"
    ]


def test_two_packages_that_claim_one_name(engine: Engine) -> None:
    both = ("acme-lattice", "rival-losses")
    claim = "the loss 'cauchy' is claimed by acme (acme-lattice 1.2) and rival (rival-losses 0.3)"
    listing = plugins(engine, *both)
    assert [conflict.split(";")[0] for conflict in listing["conflicts"]] == [claim]
    done = engine("check", RECIPE, packages=both, code=2)
    assert lines(done)[-1] == (
        f"{RECIPE}:18:6: loss[0].type: {claim}; disable one with --disable-plugin NAME, or uninstall it"
    )
    engine("explain", RECIPE, "loss=[{type: mse}]", packages=both)
    explained = engine("explain", RECIPE, "--disable-plugin", "rival", packages=both).stdout
    assert "from acme, acme-lattice 1.2" in explained


def test_two_distributions_with_one_entry_point_name(engine: Engine) -> None:
    listing = plugins(engine, "acme-lattice", "twin-losses")
    found = {plugin["distribution"]: [c["name"] for c in plugin["components"]] for plugin in listing["plugins"]}
    assert sorted(found["acme-lattice"]) == ["arithmetic", "cauchy", "gathered", "shuffled"]
    assert found["twin-losses"] == ["twin"]
    assert listing["failed"] == []


@pytest.mark.parametrize(
    ("package", "version", "name", "reason"),
    [
        ("broken-losses", "0.1", "broken", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("exiting-losses", "0.2", "exiting", "SystemExit: this plugin wants no part in it"),
        ("misspelled-losses", "1.0", "misspelled", "unknown hook 'losess'"),
        ("future-losses", "9.0", "future", "PluginError: it is written for hook API 99 and this engine has 1"),
    ],
)
def test_a_plugin_that_does_not_load_costs_one_line(
    engine: Engine, package: str, version: str, name: str, reason: str
) -> None:
    packages = (package, "acme-lattice")
    done = engine("plugins", "--json", packages=packages)
    listing = json.loads(done.stdout)
    (failed,) = listing["failed"]
    assert (failed["name"], failed["distribution"], failed["version"]) == (name, package, version)
    assert reason in failed["reason"]
    assert {"acme", "core_engine_losses"} <= {plugin["name"] for plugin in listing["plugins"]}
    (warning,) = lines(done)
    for part in ("plugin failed to load", f"{name}, {package} {version}", reason.split(":")[0].split("'")[0]):
        assert part in warning


def test_a_plugin_that_does_not_load_is_in_nobodys_way(engine: Engine) -> None:
    packages = ("acme-lattice", "broken-losses")
    (warning,) = lines(engine("explain", RECIPE, packages=packages))
    assert "plugin failed to load" in warning
    done = engine("plugins", "-v", packages=packages)
    assert "Traceback (most recent call last):\n" in done.stderr
    assert "import no_such_module_at_all\n" in done.stderr
    assert "failed: broken, broken-losses 0.1: ModuleNotFoundError: " in done.stdout
    assert lines(engine("plugins", "--disable-plugin", "broken", packages=packages)) == []


def test_a_plugin_that_does_not_load_is_an_error_where_a_recipe_needs_it(engine: Engine) -> None:
    done = engine("check", RECIPE, "loss=[{type: wished_for}]", packages=("acme-lattice", "broken-losses"), code=2)
    warning, *problems = lines(done)
    assert "plugin failed to load" in warning
    assert problems == [
        "override 'loss=[{type: wished_for}]': loss[0].type: no loss named 'wished_for' is installed; "
        f"is a plugin package missing? installed: {', '.join(sorted({*BUNDLED_LOSSES, 'cauchy'}))}",
        "note: plugin broken, broken-losses 0.1 failed to load: "
        "ModuleNotFoundError: No module named 'no_such_module_at_all'",
    ]
    done = engine("check", RECIPE, "seed=x", packages=("acme-lattice", "broken-losses"), code=2)
    assert lines(done)[1:] == ["override 'seed=x': seed: expected an integer, not 'x'"]


def test_disabled_plugins(engine: Engine) -> None:
    for listing in (
        plugins(engine, "acme-lattice", CORE_ENGINE_DISABLE_PLUGINS=" acme , core_engine_losses,"),
        json.loads(
            engine(
                *("plugins", "--json", "--disable-plugin", "acme", "--disable-plugin", "core_engine_losses"),
                packages=("acme-lattice",),
            ).stdout
        ),
    ):
        assert listing["disabled"] == ["acme", "core_engine_losses"]
        assert not {"acme", "core_engine_losses"} & {plugin["name"] for plugin in listing["plugins"]}
        assert "core_engine_data" in {plugin["name"] for plugin in listing["plugins"]}
    done = engine("check", RECIPE, packages=("acme-lattice",), code=2, CORE_ENGINE_DISABLE_PLUGINS="acme")
    assert "no loss named 'cauchy' is installed" in done.stderr


def test_a_disabled_name_that_nothing_has(engine: Engine) -> None:
    message = "cannot disable acme: no such plugin is installed; installed: core_engine_data, "
    for done in (
        engine("plugins", code=2, CORE_ENGINE_DISABLE_PLUGINS="acme"),
        engine("plugins", "--disable-plugin", "acme", code=2),
    ):
        (line,) = lines(done)
        assert line.startswith(message)
        assert done.stdout == ""


def test_its_parts_do_what_they_say(installed: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from core_engine import DataSourceContext, LossContext, ReshapeContext

    monkeypatch.syspath_prepend(installed("acme-lattice"))
    import acme_lattice  # type: ignore[import-not-found]

    for input_dim, output_dim in ((384, 384), (10, 7), (5, 9)):
        context = ReshapeContext(input_dim=input_dim, output_dim=output_dim, size=(3, 2, 2), seed=1)
        reshape = acme_lattice.Shuffled().build(context)
        embedding = torch.randn(4, input_dim)
        values = reshape.to_lattice(embedding)
        assert values.shape == (4, 3, 2, 2, reshape.channels)
        kept = min(input_dim, output_dim)
        assert torch.equal(reshape.from_lattice(values)[:, :kept], embedding[:, :kept])
        assert reshape.from_lattice(values).shape == (4, output_dim)
        assert values[:, ~reshape.input_cells].count_nonzero() == 0
        assert values[:, reshape.input_cells].abs().sum(dim=-1).all()
    loss = acme_lattice.Cauchy(delta=0.5).build(LossContext(dim=2, seed=0))
    output, target = torch.tensor([[0.1, 2.0]]), torch.zeros(1, 2)
    torch.testing.assert_close(loss(output, target, None), torch.tensor((math.log1p(0.2**2) + math.log1p(4.0**2)) / 2))
    rows = list(acme_lattice.Arithmetic(largest=8).build(DataSourceContext(seed=0)).read())
    assert len({row.id for row in rows}) == len(rows) == 64
    assert len({row.group for row in rows}) == 8
