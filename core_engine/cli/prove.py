"""``core-engine prove RECIPE``: whether interrupted runs end with the same bits."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout
from typing import Any

from core_engine.cli.recipe_arguments import add_recipe_arguments, load_from_arguments

#: Exit code where the runs differ.
DIFFERS = 1


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser(
        "prove", parents=[common], help="check that a run that is interrupted ends as one that is not, bit for bit"
    )
    add_recipe_arguments(parser)
    parser.add_argument("--steps", type=int, default=50, metavar="K", help="optimiser steps to train (default: 50)")
    parser.add_argument("--points", type=int, default=5, metavar="N", help="interruptions, at random (default: 5)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of where the interruptions are (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the finding as one JSON object and nothing else")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    loaded, host = load_from_arguments(arguments)

    import attrs

    from core_engine.assembly.prove import prove

    with redirect_stdout(sys.stderr):
        proof = prove(loaded.recipe, host, steps=arguments.steps, points=arguments.points, seed=arguments.seed)
    if arguments.json:
        print(json.dumps(attrs.asdict(proof)))
    else:
        where = ", ".join(map(str, proof.points))
        print(f"{proof.steps} steps straight, and interrupted after step {where}:")
        if proof.difference is None:
            print(f"all {proof.compared} values of the last checkpoint are the same, bit for bit")
        else:
            print(f"not the same: {proof.difference}")
    return 0 if proof.difference is None else DIFFERS
