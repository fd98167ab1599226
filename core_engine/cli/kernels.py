"""``core-engine kernels RECIPE``: which backend computes a recipe's cells, and why the others do not."""

from __future__ import annotations

import argparse
from typing import Any

from core_engine.cli.recipe_arguments import add_recipe_arguments, load_from_arguments


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser("kernels", parents=[common], help="say what computes a recipe's cells, and why")
    add_recipe_arguments(parser)
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    loaded, host = load_from_arguments(arguments)
    recipe = loaded.recipe

    from core_engine.assembly.backend import use_recipe_backend
    from core_engine.assembly.build import build_core, known_dimensions, resolve_device

    device = resolve_device(recipe.device)
    dimensions = known_dimensions(recipe)
    if dimensions is None:
        print("what can compute the cells is known only once the embeddings' dimension is")
        return 0
    core = build_core(recipe, *dimensions).to(device)
    choice = use_recipe_backend(core, recipe, host)
    lattice = recipe.lattice
    size = "x".join(map(str, lattice.size))
    dtype = str(core.normalizer.input_mean.dtype).removeprefix("torch.")
    print(
        f"{lattice.kernel.type}: {size} cells, {lattice.channels} channels, {lattice.steps} steps, "
        f"batch {recipe.train.batch_size}, {dtype}, memory {lattice.memory}, on {device}"
    )
    error = "" if choice.error is None else f"  (relative error against the reference: {choice.error:.1e})"
    print(f"runs     {choice.name}{error}")
    for name, reason in choice.refused.items():
        print(f"refused  {name}: {reason}")
    return 0
