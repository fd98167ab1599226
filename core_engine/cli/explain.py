"""``core-engine explain RECIPE``: which plugin supplies each slot, each resolved value, and where it came from."""

from __future__ import annotations

import argparse
import json
from typing import Any

from core_engine.cli.recipe_arguments import add_recipe_arguments, load_from_arguments


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser("explain", parents=[common], help="show what a recipe resolves to, and why")
    add_recipe_arguments(parser)
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    from core_engine.recipe.explain import explain, suppliers

    loaded, _ = load_from_arguments(arguments)
    print("# components")
    _columns([(where, name, f"from {provider}") for where, name, provider in suppliers(loaded)])
    print("\n# values")
    _columns([(e.where, json.dumps(e.value, ensure_ascii=False), e.origin) for e in explain(loaded)])
    return 0


def _columns(rows: list[tuple[str, str, str]]) -> None:
    first, second = (max((len(row[i]) for row in rows), default=0) for i in (0, 1))
    for row in rows:
        print(f"{row[0]:<{first}}  {row[1]:<{min(second, 60)}}  {row[2]}")
