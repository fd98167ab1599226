"""``core-engine encode RECIPE``: fill the embedding store, without training."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout
from typing import Any

from core_engine.cli.recipe_arguments import add_recipe_arguments, load_from_arguments


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser("encode", parents=[common], help="fill the embedding store, without training")
    add_recipe_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object on stdout")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    loaded, _ = load_from_arguments(arguments)

    from core_engine.assembly.encoding import encode_recipe

    with redirect_stdout(sys.stderr):
        figures = encode_recipe(loaded.recipe)
    if arguments.json:
        print(json.dumps(figures))
    else:
        if figures["processes"] > 1:
            print(f"process {figures['rank']} of {figures['processes']}: ", end="")
        cut = f"; {figures['cut']} were too long and cut" if figures.get("cut") else ""
        rate = f", {figures['texts_per_s']} texts/s" if "texts_per_s" in figures else ""
        print(
            f"{figures['texts']} texts: {figures['hits']} were stored, {figures['misses']} encoded in "
            f"{figures['seconds']} s{rate}{cut}\nembeddings: {figures['folder']}"
        )
    return 0
