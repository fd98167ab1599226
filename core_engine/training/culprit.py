"""Which module a number that is not finite came from first."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn


def find_culprit(modules: Iterable[tuple[str, nn.Module]], compute: Callable[[], object]) -> str:
    """Runs ``compute``, the forward and backward passes of a step, and says where it first gave NaN or infinity.

    ``modules``: names and modules to watch. The gradients that ``compute`` leaves in their parameters are looked at,
    so these should be empty before.
    """
    forward: list[str] = []
    backward: list[str] = []
    named = list(modules)
    with ExitStack() as hooks:
        for name, module in named:
            what = f"{name} ({type(module).__name__})"

            # Inner modules end before those around them, so the first to be noted is the innermost.
            def after(_: nn.Module, __: Any, output: Any, what: str = what) -> None:
                if not _finite(output):
                    forward.append(f"the output of {what}")

            def before(_: nn.Module, passed_back: Any, given: Any, what: str = what) -> None:
                if not _finite(given):
                    backward.append(f"the gradient that {what} is given")
                elif not _finite(passed_back):
                    backward.append(f"the gradient that {what} passes back")

            hooks.callback(module.register_forward_hook(after).remove)
            if any(True for _ in module.parameters()):
                hooks.callback(module.register_full_backward_hook(before).remove)
        with warnings.catch_warnings():
            # Of a first module, which passes nothing back: there is nothing to look at.
            warnings.filterwarnings("ignore", "Full backward hook is firing")
            compute()
    parameters = [
        f"the gradient of {name}.{key}"
        for name, module in named
        for key, parameter in module.named_parameters(recurse=False)
        if parameter.grad is not None and not _finite(parameter.grad)
    ]
    for found in (forward, backward, parameters):
        if found:
            return found[0]
    return "nothing when it was computed again: something in it is not a function of its input"


def _finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    if isinstance(value, tuple | list):
        return all(map(_finite, value))
    return True
