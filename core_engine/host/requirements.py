"""A recipe's ``requires:``: which versions of which plugin distributions it was written for."""

from __future__ import annotations

import importlib.metadata as metadata

from packaging.specifiers import InvalidSpecifier, SpecifierSet


def unmet(distribution: str, specifier: str) -> str | None:
    """Why a requirement such as ``("core-engine", ">=0.1,<1")`` does not hold here, or None where it does."""
    try:
        wanted = SpecifierSet(specifier)
    except InvalidSpecifier:
        return f"{specifier!r} is not a version specifier; write it like '>=0.1,<1'"
    try:
        installed = metadata.version(distribution)
    except ValueError:
        return f"{distribution!r} names no distribution"
    except metadata.PackageNotFoundError:
        return f"{distribution} is not installed; run: pip install '{distribution}{specifier}'"
    if not wanted.contains(installed, prereleases=True):
        return f"{distribution} {installed} is installed; run: pip install '{distribution}{specifier}'"
    return None
