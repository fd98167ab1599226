"""The engine in Python: own parts, lifecycle hooks, resuming, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from core_engine_reshapes import Linear
from torch import Tensor, nn

from core_engine import (
    CellLoop,
    EmbeddingProcessor,
    Engine,
    Pairs,
    Record,
    ReshapeContext,
    Splits,
    Train,
    hookimpl,
    load_core,
)
from core_engine.core.shortcut import Shortcut
from core_engine.errors import CheckpointError, DataError, EngineError, OutputError, TrainingError
from core_engine.evaluation.metrics import evaluate
from core_engine.host.host import PluginHost
from core_engine.host.registry import Provider
from core_engine.recipe.modes import Mixed

DIM = 12


def task(count: int, seed: int) -> Pairs:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, DIM, generator=generator) + 2
    return Pairs(inputs, 1 - inputs, group_ids=torch.arange(count) // 4)


def splits() -> Splits:
    return Splits(train=task(200, 0), validation=task(40, 1), test=task(40, 2))


class Cell(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Linear(3 * channels, channels)

    def forward(self, state: Tensor, drive: Tensor) -> Tensor:
        around = [torch.roll(state, 1, dims=axis) for axis in (1, 2)]
        return state + self.inner(torch.cat([state, *around], -1))


def loss(output: Tensor, target: Tensor, batch: object) -> Tensor:
    return (output - target).square().mean()


def own_core(seed: int = 0) -> EmbeddingProcessor:
    size = (2, 3, 1)
    torch.manual_seed(seed)
    reshape = Linear(channels=2).build(ReshapeContext(DIM, DIM, size, seed=0))
    return EmbeddingProcessor(
        reshape=reshape, kernel=CellLoop(Cell(4)), input_dim=DIM, output_dim=DIM, size=size, channels=4, steps=4
    )


def engine(tmp_path: Path, **changes: Any) -> Engine:
    options: dict[str, Any] = {
        "data": splits(),
        "core": own_core(),
        "loss": loss,
        "train": Train(epochs=20, batch_size=20),
        "output": tmp_path,
        "baselines": ["identity", "ridge"],
        **changes,
    }
    return Engine(**options)


def test_own_parts_train_and_are_scored(tmp_path: Path) -> None:
    result = engine(tmp_path).run()
    assert result is not None
    assert result.test["cosine_centred"] > result.untrained["cosine_centred"] + 0.2
    assert result.baselines["ridge"]["cosine"] == pytest.approx(1.0, abs=1e-3)
    assert json.loads((result.run_dir / "result.json").read_text())["test"] == result.test
    with pytest.raises(CheckpointError, match="no run made from a recipe"):
        load_core(result.run_dir)
    with pytest.raises(EngineError, match="give yours to use_backend"):
        load_core(result.run_dir, core=own_core(seed=9), backend="fused_cpu")
    trained = load_core(result.run_dir, core=own_core(seed=9))
    assert evaluate(trained(splits().test.inputs), splits().test) == result.test


def test_any_module_can_be_the_core(tmp_path: Path) -> None:
    result = engine(tmp_path, core=nn.Linear(DIM, DIM)).run()
    assert result is not None
    assert result.test["cosine"] > result.untrained["cosine"]


def test_the_data_given_are_left_as_they_are(tmp_path: Path) -> None:
    data = splits()
    before = data.train.inputs.clone()
    engine(tmp_path, data=data, control="shuffled_targets").run()
    assert torch.equal(data.train.inputs, before)
    assert torch.equal(data.train.targets, splits().train.targets)


def test_dimensions_may_differ_between_both_sides(tmp_path: Path) -> None:
    def half(pairs: Pairs) -> Pairs:
        return Pairs(pairs.inputs, pairs.targets[:, : DIM // 2], group_ids=pairs.group_ids)

    data = splits()
    data = Splits(half(data.train), half(data.validation), half(data.test))
    result = engine(tmp_path, data=data, core=nn.Linear(DIM, DIM // 2)).run()
    assert result is not None
    assert set(result.baselines) == {"ridge"}
    assert "identity" in result.baselines_left_out


def test_a_control_with_shuffled_targets_is_fitted_to_shuffled_targets(tmp_path: Path) -> None:
    """A shortcut between different dimensions starts as the rotation to the targets, and so would know the pairs."""

    def half(pairs: Pairs) -> Pairs:
        return Pairs(pairs.inputs, pairs.targets[:, : DIM // 2], group_ids=pairs.group_ids)

    def core() -> EmbeddingProcessor:
        torch.manual_seed(0)
        return EmbeddingProcessor(
            reshape=Linear(channels=2).build(ReshapeContext(DIM, DIM // 2, (2, 3, 1), seed=0)),
            kernel=CellLoop(Cell(4)),
            input_dim=DIM,
            output_dim=DIM // 2,
            size=(2, 3, 1),
            channels=4,
            steps=1,
            shortcut=Shortcut(DIM, DIM // 2, 0, DIM, "inputs", seed=0),
        )

    data = splits()
    data = Splits(half(data.train), half(data.validation), half(data.test))
    fitted = {}
    for control in ("none", "shuffled_targets"):
        one = engine(tmp_path, data=data, core=core(), baselines=[], control=control, train=Train(max_steps=1))
        one.run()
        shortcut = one.core.get_submodule("shortcut")
        centred = data.test.inputs - data.train.inputs.mean(0)
        target = data.test.targets - data.train.targets.mean(0)
        with torch.no_grad():
            fitted[control] = float(torch.cosine_similarity(shortcut(centred), target).mean())
    assert fitted["none"] > 0.95
    assert fitted["shuffled_targets"] < 0.5


class Witness:
    """A plugin that notes every lifecycle hook: on_run_start, on_step_end, on_evaluation, on_checkpoint, on_run_end."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @hookimpl
    def on_run_start(self, run: Any) -> None:
        self.seen.append(("start", run.total_steps))

    @hookimpl
    def on_step_end(self, step: int) -> None:
        self.seen.append(("step", step))

    @hookimpl
    def on_evaluation(self, step: int, metrics: Any) -> None:
        self.seen.append(("evaluation", step, "mrr@10" in metrics))

    @hookimpl
    def on_checkpoint(self, step: int, path: Path) -> None:
        self.seen.append(("checkpoint", step, (path / "checkpoint.json").is_file()))

    @hookimpl
    def on_run_end(self, run: Any, result: Any) -> None:
        self.seen.append(("end", result["run_dir"] == str(run.run_dir)))


def test_lifecycle_hooks_are_called_in_order(tmp_path: Path) -> None:
    host, witness = PluginHost(), Witness()
    host.register(witness, Provider("witness", "tests", "0"))
    engine(tmp_path, host=host, train=Train(epochs=1, batch_size=100)).run()
    assert witness.seen == [
        ("start", 2),
        ("step", 1),
        ("step", 2),
        ("evaluation", 2, True),
        ("checkpoint", 2, True),  # the best one
        ("checkpoint", 2, True),  # the one to go on from
        ("end", True),
    ]


def test_a_hook_that_fails_stops_the_run(tmp_path: Path) -> None:
    class Failing:
        @hookimpl
        def on_step_end(self, step: int) -> None:
            if step == 3:
                raise RuntimeError("the plugin's own trouble")

    host = PluginHost()
    host.register(Failing(), Provider("failing", "tests", "0"))
    with pytest.raises(RuntimeError, match="the plugin's own trouble"):
        engine(tmp_path, host=host).run()


def test_a_stopped_run_resumes_to_the_same_figures(tmp_path: Path) -> None:
    straight = engine(tmp_path / "straight").run()
    assert engine(tmp_path / "broken").run(should_stop=lambda step: step == 33) is None
    resumed = engine(tmp_path / "broken", core=own_core(seed=5)).run(resume="auto")
    assert straight is not None
    assert resumed is not None
    assert resumed.test == straight.test
    assert resumed.steps == straight.steps


def test_other_data_cannot_be_resumed_with(tmp_path: Path) -> None:
    engine(tmp_path).run(should_stop=lambda step: step == 5)
    changed = splits()
    changed.train.inputs[3, 2] += 1
    with pytest.raises(CheckpointError, match="the data are not those"):
        engine(tmp_path, data=changed).run(resume="auto")


def test_another_architecture_cannot_be_resumed_with(tmp_path: Path) -> None:
    engine(tmp_path).run(should_stop=lambda step: step == 5)
    with pytest.raises(CheckpointError, match="another architecture"):
        engine(tmp_path, core=nn.Linear(DIM, DIM)).run(resume="auto")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"train": Train(monitor="accuracy")}, TrainingError, "there is no metric 'accuracy'"),
        ({"control": "frozen_lattice", "core": nn.Linear(DIM, DIM)}, TrainingError, "needs an EmbeddingProcessor"),
        ({"control": "frozen_lattice"}, TrainingError, "nothing to train"),
        ({"device": "abacus"}, EngineError, "device 'abacus' cannot be used"),
        ({"mode": Mixed()}, DataError, "mixed"),
    ],
)
def test_what_cannot_run_is_refused_and_leaves_no_folder(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        engine(tmp_path, **changes).run()
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="no run folder can be made"):
        engine(tmp_path, output=tmp_path / "file").run()


def test_an_engine_may_be_run_again_from_its_first_weights(tmp_path: Path) -> None:
    one = engine(tmp_path)
    first, second = one.run(), one.run()
    assert first is not None
    assert second is not None
    assert (second.untrained, second.test) == (first.untrained, first.test)
    assert first.run_dir != second.run_dir


def test_a_control_run_is_not_taken_for_the_real_one(tmp_path: Path) -> None:
    result = engine(tmp_path, name="mine", control="shuffled_targets").run()
    assert result is not None
    assert result.run_dir.name.startswith("mine-shuffled_targets-")
    engine(tmp_path, name="mine-2").run(should_stop=lambda step: step == 3)
    assert engine(tmp_path, name="mine").run(resume="auto", should_stop=lambda step: step == 3) is None
    assert len(list(tmp_path.glob("mine-2-*"))) == 1


def test_a_finished_run_cannot_be_gone_back_in(tmp_path: Path) -> None:
    result = engine(tmp_path).run()
    assert result is not None
    step = max((result.run_dir / "checkpoints").glob("step-*"))
    with pytest.raises(CheckpointError, match="this run is finished"):
        engine(tmp_path).run(resume=step)


def test_a_run_asked_to_stop_while_baselines_are_fitted_stops_and_goes_on(tmp_path: Path) -> None:
    last = 20 * 10
    assert engine(tmp_path).run(should_stop=lambda step: step == last) is None
    resumed = engine(tmp_path).run(resume="auto")
    assert resumed is not None
    assert resumed.steps == last


def test_a_misspelled_baseline_is_found_at_once(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no baseline is named rigde"):
        engine(tmp_path, baselines=["identity", "rigde"])


def test_validation_rows_that_cannot_be_scored_leave_no_folder(tmp_path: Path) -> None:
    data = splits()
    same = Pairs(data.validation.inputs, data.validation.targets, torch.zeros(40, dtype=torch.int64))
    with pytest.raises(DataError, match="at least two different target"):
        engine(tmp_path, data=Splits(data.train, same, data.test)).run()
    assert list(tmp_path.iterdir()) == []


def test_a_recipes_overrides_are_a_list() -> None:
    with pytest.raises(EngineError, match="overrides is a list"):
        Engine.from_recipe({}, "train.epochs=1")


def test_a_losss_first_parameters_are_those_of_every_run(tmp_path: Path) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, output: Tensor, target: Tensor, batch: object) -> Tensor:
            return (self.scale * output - target).square().mean()

    one = engine(tmp_path, loss=Scaled(), baselines=[])
    first, second = one.run(), one.run()
    assert first is not None
    assert second is not None
    assert second.test == first.test


def test_a_profiled_run_logs_the_size_of_the_states(tmp_path: Path) -> None:
    def keys(profile: bool) -> set[str]:
        records: list[Record] = []

        class Keep:
            def log(self, record: Record) -> None:
                records.append(record)

            def progress(self, step: int) -> None: ...

            def close(self) -> None: ...

        engine(tmp_path, train=Train(epochs=2, profile=profile), loggers=[lambda context: Keep()]).run()
        trained = [record for record in records if record.kind == "train"]
        assert len(trained) == 2
        return set.intersection(*(set(record.values) for record in trained))

    assert keys(True) - keys(False) == {f"state_rms/{step}" for step in range(5)}
