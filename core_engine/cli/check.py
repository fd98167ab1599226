"""``core-engine check RECIPE``: everything that can be known without encoding a text or loading weights."""

from __future__ import annotations

import argparse
from typing import Any

from core_engine.cli.recipe_arguments import add_recipe_arguments, load_from_arguments
from core_engine.errors import RecipeError


def add(subparsers: Any, common: argparse.ArgumentParser) -> None:
    parser = subparsers.add_parser("check", parents=[common], help="validate a recipe without running it")
    add_recipe_arguments(parser)
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    loaded, host = load_from_arguments(arguments)
    recipe = loaded.recipe
    for note in loaded.notes:
        print(note)

    from core_engine.assembly.backend import use_recipe_backend
    from core_engine.assembly.build import build_core, known_dimensions, resolve_device
    from core_engine.run.folder import check_writable
    from core_engine.training.memory_plan import plan_memory, require_room

    check_writable(recipe.output)
    device = resolve_device(recipe.device)
    print(f"device: {device}")
    dimensions = known_dimensions(recipe)
    if dimensions is None:
        print("the core's size and reach are known only once the embeddings' dimension is")
    else:
        core = build_core(recipe, *dimensions)
        print(f"backend: {use_recipe_backend(core.to(device), recipe, host).name}")
        reach = core.reach()
        print(f"core: {sum(p.numel() for p in core.parameters())} parameters")
        plan = plan_memory(core, dimensions[0], recipe.train)
        print(f"memory: {plan}")
        require_room(plan, core, recipe.train)
        print(
            f"in {recipe.lattice.steps} steps, {reach.share_of_inputs:.0%} of the inputs can reach an output, "
            f"{reach.share_of_pairs:.0%} of all pairs of input and output cells are connected"
        )
        if reach.share_of_inputs == 0:
            raise RecipeError([f"{loaded.source}: lattice.steps: no input can reach an output; raise lattice.steps"])
        if reach.share_of_inputs < 1:
            print("warning: some inputs cannot reach any output and are lost; raise lattice.steps")
    print(f"{loaded.source}: ok")
    return 0
