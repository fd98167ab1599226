"""The arguments of every command that takes a recipe."""

from __future__ import annotations

import argparse

from core_engine.host.host import PluginHost
from core_engine.recipe.load import LoadedRecipe, load_recipe


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="recipe file (YAML)")
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="change a value, such as train.epochs=3 or loss[0].weight=2",
    )


def load_from_arguments(arguments: argparse.Namespace) -> tuple[LoadedRecipe, PluginHost]:
    host = PluginHost.discover(arguments.disable_plugin)
    return load_recipe(arguments.recipe, arguments.overrides, host), host
