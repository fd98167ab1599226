"""What computes the cells: who is chosen, who is refused and why, and that a wrong one is an error, never a switch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from fake_backends import (
    CHANNELS,
    DIM,
    MISSING_DRIVER,
    SIZE,
    Alone,
    Fake,
    cannot_say,
    fails,
    fake_host,
    no_gradient,
    not_a_number,
    refuses,
    tiny_core,
    wrong_gradient,
    wrong_output,
)
from torch import Tensor

from core_engine import BackendChoice, BackendContext, CellKernel, Engine, Result, load_core, use_backend
from core_engine.errors import EngineError, PluginError, RecipeError
from core_engine.host.host import PluginHost

PARAMETERS = ["mix", "feed", "out", "bias"]


def choose(backend: str = "auto", core: Any = None, memory: int | None = None, **backends: Any) -> BackendChoice:
    return use_backend(core or tiny_core(), backend, batch=32, memory=memory, host=fake_host(**backends))


# Who is chosen.


def test_auto_takes_the_supported_one_of_highest_priority_and_says_why_not_the_others() -> None:
    middle = Fake(priority=5)
    core = tiny_core()
    choice = choose(core=core, low=Fake(priority=1), middle=middle, high=refuses("too wide", priority=7))
    assert choice.name == "middle"
    assert choice.refused == {"high": "too wide", "low": "middle goes before it"}
    assert choice.error is not None
    assert choice.error < 1e-6
    assert isinstance(core.kernel, CellKernel)
    assert (core.kernel.backend, core.kernel.backend_name) == (middle, "middle")


def test_auto_is_the_reference_where_nothing_else_can() -> None:
    core = tiny_core()
    assert choose(core=core) == BackendChoice("reference", {})
    assert choose(core=core, a=refuses("no")) == BackendChoice("reference", {"a": "no"})
    assert isinstance(core.kernel, CellKernel)
    assert (core.kernel.backend, core.kernel.backend_name) == (None, "reference")


def test_the_reference_asks_nobody() -> None:
    fake, core = Fake(), tiny_core()
    choose("auto", core, a=fake)
    del fake.calls[:], fake.cases[:]
    assert choose("reference", core, a=fake) == BackendChoice("reference", {})
    assert (fake.calls, fake.cases) == ([], [])
    assert isinstance(core.kernel, CellKernel)
    assert (core.kernel.backend, core.kernel.backend_name) == (None, "reference")


def test_a_name_is_taken_whatever_its_priority() -> None:
    assert choose("low", low=Fake(priority=1), high=Fake(priority=2)).name == "low"


def test_a_backend_is_told_what_it_has_to_compute() -> None:
    fake = Fake()
    choose("fake", memory=2, fake=fake)
    (case,) = fake.cases
    assert (case.spec, case.size, case.batch, case.steps) == (("tiny", CHANNELS), SIZE, 32, 3)
    assert (case.dtype, case.device) == (torch.float32, torch.device("cpu"))
    assert fake.context == BackendContext("cpu")
    choose("fake", tiny_core().double(), fake=fake)
    assert fake.cases[-1].dtype == torch.float64
    assert fake.calls[0] == {"spec": ("tiny", CHANNELS), "names": PARAMETERS, "batch": 4, "memory": 2}


def test_it_computes_the_core_from_then_on() -> None:
    fake = Fake()
    core, same = tiny_core(), tiny_core()
    choose("fake", core, memory=2, fake=fake)
    del fake.calls[:]
    x = torch.randn(9, DIM, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(core(x, 5), same(x, 5))
    assert [(call["batch"], call["memory"]) for call in fake.calls] == [(9, 2)]


# What auto takes for rounding.


def test_auto_takes_no_backend_that_rounds_more_than_the_dtype() -> None:
    coarse, fine = Fake(priority=9, tolerance=0.2), Fake(priority=1, tolerance=1e-9)
    choice = choose(coarse=coarse, fine=fine)
    assert choice.name == "fine"
    assert choice.refused == {"coarse": "it rounds more than torch.float32 does (2e-01); ask for it by name"}
    assert choose("coarse", coarse=coarse).name == "coarse"


def test_what_is_rounding_depends_on_the_dtype() -> None:
    fake = Fake(tolerance=1e-5)
    assert choose(fake=fake).name == "fake"
    choice = choose(core=tiny_core().double(), fake=fake)
    assert choice.name == "reference"
    assert choice.refused["fake"].startswith("it rounds more than torch.float64 does")
    assert choose(core=tiny_core().bfloat16(), fake=Fake(tolerance=1e-2)).name == "fake"


# Who is refused.


def test_one_asked_for_by_name_that_cannot_is_an_error_with_its_reason() -> None:
    with pytest.raises(EngineError, match="'wide' cannot compute this run: 300 channels: it computes 16; use 'auto'"):
        choose("wide", wide=refuses("300 channels: it computes 16"), other=Fake())


def test_a_name_that_nobody_has() -> None:
    with pytest.raises(PluginError, match="no backend named 'fuse' is installed; did you mean 'fused'"):
        choose("fuse", fused=Fake())


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (OSError("no library"), "backend 'broken' (fakes, fake-package 0.5) cannot be used: OSError: no library"),
        (MISSING_DRIVER, "the driver is missing; install it"),
        (
            cannot_say(),
            "backend 'broken' (fakes, fake-package 0.5) cannot be used: AttributeError: no attribute 'hidden'",
        ),
    ],
)
def test_one_that_cannot_be_built_or_asked_is_refused_by_auto_and_an_error_by_name(broken: Any, says: str) -> None:
    choice = choose(broken=broken, right=Fake())
    assert (choice.name, choice.refused) == ("right", {"broken": says})
    with pytest.raises(EngineError, match=re.escape(says)):
        choose("broken", broken=broken)


def test_a_name_that_two_plugins_claim_is_nobodys() -> None:
    host = fake_host(twice=Fake())
    (claim,) = [r for r in host.registry.all() if r.name == "twice"]
    host.registry.add(claim.kind, claim.component, claim.provider)
    choice = use_backend(tiny_core(), host=host)
    assert choice.name == "reference"
    assert "is claimed by fakes" in choice.refused["twice"]
    with pytest.raises(PluginError, match="is claimed by fakes"):
        use_backend(tiny_core(), "twice", host=host)


# One that computes something else is an error, and never a switch.

WRONG: dict[str, Callable[[], Fake]] = {
    "output": wrong_output,
    "not a number": not_a_number,
    **{f"gradient of {name}": lambda name=name: wrong_gradient(name) for name in PARAMETERS},  # type: ignore[misc]
    **{f"no gradient of {name}": lambda name=name: no_gradient(name) for name in PARAMETERS},  # type: ignore[misc]
}


@pytest.mark.parametrize("asked_for", ["auto", "wrong"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_one_is_an_error_and_never_a_switch(name: str, asked_for: str) -> None:
    right, core = Fake(priority=1), tiny_core()
    before = {key: value.clone() for key, value in core.state_dict().items()}
    with pytest.raises(EngineError, match="'wrong' computes something else than the reference: relative error") as info:
        choose(asked_for, core, wrong=WRONG[name](), right=right)
    assert "use backend 'reference', and report this" in str(info.value)
    assert right.calls == []
    assert isinstance(core.kernel, CellKernel)
    assert (core.kernel.backend, core.kernel.backend_name) == (None, "reference")
    assert all(torch.equal(value, before[key]) for key, value in core.state_dict().items())


def test_what_is_allowed_is_the_backends_own_tolerance() -> None:
    def off(by: float) -> Fake:
        return Fake(tolerance=1e-2, output=lambda output: output * (1 + by))

    assert choose("off", off=off(0.005)).error == pytest.approx(0.005, rel=0.1)
    with pytest.raises(EngineError, match=r"relative error 2.0e-02 on one batch, 1e-02 allowed"):
        choose("off", off=off(0.02))


def test_a_wrong_gradient_of_the_state_or_the_drive_is_found() -> None:
    class Detached(Fake):
        def __init__(self, which: int) -> None:
            super().__init__()
            self.which = which

        def rollout(self, spec: Any, parameters: Any, *inputs: Any) -> Tensor:
            given = list(inputs)
            given[self.which] = given[self.which].detach()
            return super().rollout(spec, parameters, *given)

    for which in (0, 1):
        with pytest.raises(EngineError, match="computes something else"):
            choose("fake", fake=Detached(which))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (fails(RuntimeError("out of registers")), "RuntimeError: out of registers; use backend 'reference'"),
        (Fake(output=lambda output: output[..., :1]), "RuntimeError: "),
        (Fake(output=lambda output: output.detach()), "RuntimeError: "),
        (Fake(output=lambda output: None), "AttributeError: |TypeError: "),  # type: ignore[arg-type, return-value]
    ],
)
@pytest.mark.parametrize("asked_for", ["auto", "wrong"])
def test_one_that_fails_at_the_rollout_is_an_error(wrong: Fake, says: str, asked_for: str) -> None:
    with pytest.raises(EngineError, match=f"'wrong' cannot be set beside the reference on one batch: ({says})"):
        choose(asked_for, wrong=wrong, right=Fake(priority=-1))


def test_its_own_error_is_told_as_it_stands() -> None:
    with pytest.raises(EngineError, match=r"^the driver is missing; install it$"):
        choose("a", a=fails(MISSING_DRIVER))


def test_checking_draws_nothing_from_the_global_generator_and_works_without_gradients() -> None:
    before = torch.get_rng_state()
    with torch.no_grad():
        assert choose(fake=Fake()).name == "fake"
        with pytest.raises(EngineError, match="computes something else"):
            choose(wrong=wrong_gradient("out"))
    assert torch.equal(torch.get_rng_state(), before)


def test_frozen_parameters_are_checked_too_and_stay_frozen() -> None:
    core = tiny_core()
    core.requires_grad_(False)
    with pytest.raises(EngineError, match="computes something else"):
        choose(core=core, wrong=wrong_gradient("mix"))
    assert not any(parameter.requires_grad for parameter in core.parameters())


# Kernels of which only the call is known.


def test_a_kernel_that_is_no_cell_kernel_computes_itself() -> None:
    fake = Fake()
    assert choose(core=tiny_core(Alone()), a=fake) == BackendChoice("reference", {})
    assert choose("reference", tiny_core(Alone())) == BackendChoice("reference", {})
    assert fake.cases == []
    with pytest.raises(EngineError, match="kernel Alone is no CellKernel and computes its rollout itself; use 'auto'"):
        choose("a", tiny_core(Alone()), a=fake)
    with pytest.raises(EngineError, match="its memory cannot be bounded; use 'none'"):
        choose("auto", tiny_core(Alone()), memory=1)


@pytest.mark.parametrize("memory", [0, -1, 1.5, True, "states"])
def test_what_memory_is_not_in_python(memory: Any) -> None:
    core = tiny_core()
    with pytest.raises(EngineError, match="memory is None, or a number k of at least 1"):
        choose("reference", core, memory=memory)
    with pytest.raises(EngineError, match="memory is None, or a number k of at least 1"):
        core.kernel.memory = memory


def test_nothing_is_checked_on_an_empty_batch() -> None:
    with pytest.raises(EngineError, match="number of samples in a call, at least 1, not 0"):
        use_backend(tiny_core(), "auto", batch=0, host=fake_host())


def test_only_a_core_has_cells() -> None:
    with pytest.raises(EngineError, match="takes an EmbeddingProcessor, not Linear"):
        use_backend(torch.nn.Linear(2, 2), "auto", host=fake_host())  # type: ignore[arg-type]


# Through recipes.


def recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    source = np.random.default_rng(0)
    rows = source.normal(size=(120, DIM)).astype(np.float32)
    np.save(folder / "inputs.npy", rows)
    np.save(folder / "targets.npy", 1 - rows)
    lattice = {"size": list(SIZE), "channels": CHANNELS, "steps": 3, "kernel": {"type": "tiny"}}
    return {
        "name": "fakes",
        "mode": {"type": "dialogue"},
        "data": {
            "train": {
                "type": "embeddings",
                "inputs": str(folder / "inputs.npy"),
                "targets": str(folder / "targets.npy"),
            },
            "split": {"validation": 0.2, "test": 0.2},
        },
        "reshape": {"type": "linear", "channels": 2},
        "lattice": {**lattice, **changes},
        "loss": [{"type": "mse"}],
        "train": {"epochs": 2, "batch_size": 24, "monitor": "cosine"},
        "evaluation": {"baselines": []},
        "loggers": [],
        "device": "cpu",
        "output": str(folder / "runs"),
    }


def run(folder: Path, host: PluginHost, **changes: Any) -> Result:
    result = Engine.from_recipe(recipe(folder, **changes), host=host).run()
    assert result is not None
    return result


def lock(run_dir: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((run_dir / "recipe.lock.yaml").read_text())
    return content


def test_a_run_is_trained_by_its_backend_and_says_so(tmp_path: Path) -> None:
    fake = Fake()
    result = run(tmp_path, fake_host(fake=fake), memory=2)
    assert result.parameters_without_gradient == []
    assert json.loads((result.run_dir / "result.json").read_text())["backend"] == "fake"
    assert lock(result.run_dir)["lattice"]["backend"] == "fake"
    assert lock(result.run_dir)["lattice"]["memory"] == 2
    assert fake.cases[0].batch == 24
    assert len([call for call in fake.calls if call["batch"] == 24]) >= result.steps
    assert {call["memory"] for call in fake.calls} == {2}
    reference = run(tmp_path, fake_host(fake=fake), backend="reference")
    assert (reference.backend, lock(reference.run_dir)["lattice"]["backend"]) == ("reference", "reference")
    assert result.test["cosine"] == pytest.approx(reference.test["cosine"], abs=1e-5)


def test_a_kernel_of_its_own_is_its_own_reference(tmp_path: Path) -> None:
    result = run(tmp_path, fake_host(), kernel={"type": "alone"})
    assert (result.backend, lock(result.run_dir)["lattice"]["backend"]) == ("reference", "reference")


def test_a_core_without_a_lattice_has_no_backend(tmp_path: Path) -> None:
    from core_engine import Pairs, Splits, Train

    def pairs(count: int) -> Pairs:
        rows = torch.randn(count, 6, generator=torch.Generator().manual_seed(count))
        return Pairs(rows, 1 - rows)

    data = Splits(train=pairs(40), validation=pairs(20), test=pairs(21))
    train = Train(max_steps=2, batch_size=20, monitor="cosine")
    engine = Engine(
        data=data,
        core=torch.nn.Linear(6, 6),
        loss=lambda output, target, batch: (output - target).square().mean(),
        train=train,
        output=tmp_path,
        baselines=[],
    )
    result = engine.run()
    assert result is not None
    assert result.backend is None


@pytest.mark.parametrize(
    ("changes", "backends", "says"),
    [
        (
            {"backend": "wide"},
            {"wide": refuses("300 channels: it computes 16")},
            "lattice.backend: 'wide' cannot compute this run: 300 channels: it computes 16; use 'auto'",
        ),
        (
            {"kernel": {"type": "alone"}, "backend": "a"},
            {"a": Fake()},
            "lattice.backend: kernel Alone is no CellKernel and computes its rollout itself; use 'auto', not 'a'",
        ),
        (
            {"kernel": {"type": "alone"}, "memory": "states"},
            {},
            "lattice.memory: kernel Alone is no CellKernel and computes its rollout itself, and its memory cannot be "
            "bounded; use 'none'",
        ),
        (
            {"backend": "fuse"},
            {"fused": Fake()},
            "lattice.backend: no backend named 'fuse' is installed; did you mean 'fused'? installed: fused; "
            "also known: auto, reference",
        ),
        (
            {"backend": "refrence"},
            {},
            "lattice.backend: no backend named 'refrence' is installed; is a plugin package missing? installed: none; "
            "did you mean 'reference'?",
        ),
        (
            {"memory": 0},
            {},
            "lattice.memory: keep every k-th state, k at least 1, not 0; 'none' sets no bound to memory",
        ),
    ],
)
def test_what_a_recipe_asks_for_and_cannot_have(
    tmp_path: Path, changes: dict[str, Any], backends: dict[str, Fake], says: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        Engine.from_recipe(recipe(tmp_path, **changes), host=fake_host(**backends))
    (problem,) = caught.value.problems
    assert problem.endswith(says)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("memory", [True, "all", "state", 1.5, -1, None])
def test_what_memory_is_not(tmp_path: Path, memory: Any) -> None:
    with pytest.raises(RecipeError, match=r"lattice\.memory: "):
        Engine.from_recipe(recipe(tmp_path, memory=memory), host=fake_host())


def test_a_wrong_backend_stops_a_run_before_it_has_a_folder(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="'wrong' computes something else"):
        Engine.from_recipe(recipe(tmp_path), host=fake_host(wrong=wrong_gradient("feed"), right=Fake()))
    assert not (tmp_path / "runs").exists()


def test_a_run_may_be_resumed_with_another_backend_and_another_memory(tmp_path: Path) -> None:
    fake = Fake()
    host = fake_host(fake=fake)
    straight = run(tmp_path, host, backend="reference")
    started = Engine.from_recipe(recipe(tmp_path, backend="reference"), host=host)
    assert started.run(should_stop=lambda step: step == 4) is None
    changed = recipe(tmp_path, backend="fake", memory="states")
    resumed = Engine.from_recipe(changed, host=host).run(resume="auto")
    assert resumed is not None
    assert resumed.run_dir == started.run_dir
    assert resumed.backend == "fake"
    assert fake.calls[-1]["memory"] == 1
    assert resumed.test["cosine"] == pytest.approx(straight.test["cosine"], abs=1e-5)
    started.run(should_stop=lambda step: step == 4)
    from core_engine.errors import CheckpointError

    with pytest.raises(CheckpointError, match=r"lattice\.steps: was 3, is 4"):
        Engine.from_recipe(recipe(tmp_path, steps=4), host=host).run(resume="auto")


def test_a_trained_core_is_computed_by_what_its_user_asks_for(tmp_path: Path) -> None:
    host = fake_host(one=Fake(priority=1), two=Fake(priority=2), wide=refuses("too wide"))
    run_dir = run(tmp_path, host, backend="one").run_dir
    rows = np.load(tmp_path / "inputs.npy")
    outputs = {}
    for asked_for, used in (("auto", "two"), ("one", "one"), ("reference", "reference")):
        trained = load_core(run_dir, host=host, backend=asked_for)
        assert trained.core.kernel.backend_name == used  # type: ignore[union-attr]
        outputs[used] = trained(rows)
    assert np.abs(outputs["two"] - outputs["reference"]).max() < 1e-5
    assert np.abs(outputs["reference"] - rows).max() > 0.1, "trained"
    with pytest.raises(EngineError, match="'wide' cannot compute this run: too wide"):
        load_core(run_dir, host=host, backend="wide")


def test_a_lock_that_names_a_backend_which_is_not_there(tmp_path: Path) -> None:
    run_dir = run(tmp_path, fake_host(gone=Fake())).run_dir
    assert load_core(run_dir, host=fake_host())(torch.zeros(1, DIM)).shape == (1, DIM)
    with pytest.raises(
        RecipeError, match=r"lattice\.backend: no backend named 'gone' is installed; .*also known: auto"
    ):
        Engine.from_recipe(run_dir / "recipe.lock.yaml", host=fake_host())
    engine = Engine.from_recipe(run_dir / "recipe.lock.yaml", ["lattice.backend=auto"], host=fake_host())
    assert engine.recipe is not None
    assert engine.recipe.lattice.backend == "reference"
