"""Packages of somebody else's: built and installed each as a distribution of its own, outside the environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PROGRAM = Path(sys.executable).with_name("core-engine")
RECIPE = HERE / "acme.yaml"

LOSS = '''
from attrs import frozen
from core_engine import Component, hookimpl

@frozen
class Loss:
    """{summary}"""
    def build(self, context):
        return lambda output, target, batch: (output - target).abs().mean()

@hookimpl
def {hook}():
    return [Component("{name}", Loss)]
'''

FORGETFUL = '''
from attrs import frozen
from core_engine import Component, hookimpl

class Forgetful:
    calls = 0

    def __call__(self, output, target, batch):
        self.calls += 1
        return (output - target).square().mean() * self.calls

@frozen
class Loss:
    """Hangs on how often it was asked, and keeps that nowhere."""
    def build(self, context):
        return Forgetful()

@hookimpl
def losses():
    return [Component("forgetful", Loss)]
'''

#: Distribution -> version, entry-point name, and source of the one module, for packages that are small.
PACKAGES = {
    "rival-losses": ("0.3", "rival", LOSS.format(hook="losses", name="cauchy", summary="Another Cauchy loss.")),
    "twin-losses": ("4.0", "acme", LOSS.format(hook="losses", name="twin", summary="Of a plugin with a name taken.")),
    "misspelled-losses": ("1.0", "misspelled", LOSS.format(hook="losess", name="lost", summary="Never seen.")),
    "forgetful-losses": ("1.1", "forgetful", FORGETFUL),
    "future-losses": ("9.0", "future", "HOOK_API = 99\n" + LOSS.format(hook="losses", name="late", summary="Later.")),
    "broken-losses": (
        "0.1",
        "broken",
        "def deep():\n    import no_such_module_at_all\n\ndeep()\n",
    ),
    "exiting-losses": ("0.2", "exiting", "import sys\nsys.exit('this plugin wants no part in it')\n"),
}


def write_package(folder: Path, distribution: str) -> Path:
    version, entry_point, source = PACKAGES[distribution]
    module = distribution.replace("-", "_")
    package = folder / distribution
    package.mkdir()
    (package / f"{module}.py").write_text(source)
    (package / "pyproject.toml").write_text(
        f'[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "{distribution}"\nversion = "{version}"\n'
        f'[project.entry-points."core_engine.plugins"]\n{entry_point} = "{module}"\n'
        f'[tool.setuptools]\npy-modules = ["{module}"]\n'
    )
    return package


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments), "--no-index", "--no-deps", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Distribution -> its wheel."""
    folder = tmp_path_factory.mktemp("third-party")
    # Building writes into the source folder.
    acme = shutil.copytree(HERE / "acme-lattice", folder / "acme-lattice")
    sources = [acme, *(write_package(folder, name) for name in PACKAGES)]
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder / "wheels", *sources)
    return {path.name.split("-")[0].replace("_", "-"): path for path in (folder / "wheels").iterdir()}


@pytest.fixture(scope="session")
def installed(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder that holds an installed distribution and nothing else."""
    folders: dict[str, Path] = {}

    def folder_of(distribution: str) -> Path:
        if distribution not in folders:
            folders[distribution] = tmp_path_factory.mktemp(distribution)
            pip("install", "--target", folders[distribution], wheels[distribution])
        return folders[distribution]

    return folder_of


@pytest.fixture
def engine(installed: Callable[[str], Path], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``core-engine`` where these distributions are installed beside the bundled plugins."""

    def run(
        *arguments: object, packages: tuple[str, ...] = (), code: int = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        path = [*(str(installed(name)) for name in packages), os.environ.get("PYTHONPATH", "")]
        variables: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), **environment}
        done = subprocess.run(
            [str(PROGRAM), *map(str, arguments)],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run
