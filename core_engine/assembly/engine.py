"""The engine: parts in, a trained and evaluated run out."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal

import attrs
import structlog
import torch
from attrs import define, field
from torch import nn

from core_engine.assembly.backend import backend_name, use_recipe_backend
from core_engine.assembly.baselines import score_baselines
from core_engine.assembly.build import (
    build_core,
    build_criterion,
    build_embedder,
    build_sources,
    built,
    resolve_device,
)
from core_engine.assembly.placement import checkpoint_facts, on_device
from core_engine.assembly.resume import find_checkpoint, require_same_facts, require_same_recipe
from core_engine.contracts.contexts import LoggerContext, NegativesContext, SamplerContext
from core_engine.contracts.objects import Logger, Loss, Negatives, Sampler
from core_engine.contracts.run import RunInfo
from core_engine.core.processor import EmbeddingProcessor
from core_engine.data.pairs import Pairs
from core_engine.data.prepare import Splits, prepare
from core_engine.errors import EngineError, TrainingError
from core_engine.evaluation.bodies import BODIES
from core_engine.evaluation.metrics import evaluate
from core_engine.host.host import PluginHost
from core_engine.log import ensure_logging
from core_engine.recipe.load import load_recipe
from core_engine.recipe.lock import recipe_to_yaml
from core_engine.recipe.modes import Autoencoder, Dialogue, Mixed
from core_engine.recipe.schema import BASELINES, USUAL_BASELINES, Recipe, Split
from core_engine.recipe.training import Train
from core_engine.run.curves import draw_curves
from core_engine.run.folder import (
    CHECKPOINTS,
    LOCK_FILE,
    RESULT_FILE,
    check_writable,
    new_run_dir,
    run_label,
    write_atomically,
)
from core_engine.run.owner import sole_owner
from core_engine.run.result import Result, peak_device_mb, peak_rss_mb
from core_engine.teaching.embedder import Embedder
from core_engine.training.checkpoint import Checkpoint, load_core_weights, newest_checkpoint, open_checkpoint
from core_engine.training.clock import Clock
from core_engine.training.criterion import Criterion
from core_engine.training.deterministic import deterministic_algorithms
from core_engine.training.events import Events
from core_engine.training.inference import apply_core
from core_engine.training.memory_plan import in_words, plan_memory, require_room
from core_engine.training.negatives import NegativeTable, choose_negatives
from core_engine.training.plan import monitor_of, total_steps, trained_parameters
from core_engine.training.ranks import Ranks, current_ranks
from core_engine.training.rows import training_rows, with_shuffled_targets
from core_engine.training.trainer import Outcome, Trainer
from core_engine.training.transfer import start_from
from core_engine.training.validation import score_validation

log = structlog.get_logger("core_engine.run")

BuildLogger = Callable[[LoggerContext], Logger]


@define(eq=False)
class Engine:
    """One run. Built from a recipe by :meth:`from_recipe`, or from parts of your own.

    data: embeddings, split already. core: any module ``[B, D_in] -> [B, D_out]``; usually an ``EmbeddingProcessor``.
    loss: ``(output, target, batch) -> scalar``. loggers: functions of a LoggerContext. output: folder for run folders.
    The other arguments mean what they mean in a recipe; ``teacher`` is for the result alone.
    """

    data: Splits
    core: nn.Module
    loss: Loss
    train: Train = field(factory=Train)
    sampler: Sampler | None = None
    negatives: Negatives | None = None
    mode: Autoencoder | Dialogue | Mixed = field(factory=Dialogue)
    seed: int = 0
    device: str = "auto"
    name: str = "run"
    output: Path = field(default=Path("runs"), converter=Path)
    baselines: Sequence[str] = USUAL_BASELINES
    control: Literal["none", "shuffled_targets", "frozen_lattice"] = "none"
    loggers: Sequence[BuildLogger] = ()
    host: PluginHost | None = field(default=None, repr=False)
    recipe: Recipe | None = field(default=None, repr=False)
    teacher: Mapping[str, Any] | None = None
    seconds_by_phase: dict[str, float] = field(factory=dict, init=False)
    run_dir: Path | None = field(default=None, init=False)
    finished: bool = field(default=False, init=False)
    _first_weights: dict[str, Any] | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        ensure_logging()
        unknown = sorted(set(self.baselines) - set(BASELINES))
        if unknown:
            raise EngineError(f"no baseline is named {', '.join(unknown)}; baselines: {', '.join(BASELINES)}")

    @classmethod
    def from_recipe(
        cls,
        source: Path | str | Mapping[str, Any],
        overrides: Iterable[str] = (),
        host: PluginHost | None = None,
    ) -> Engine:
        """Reads a recipe file (or a mapping of the same form), its data and its embeddings, and builds the core.

        RecipeError, DataError, TeacherError or PluginError with what is wrong and what to do.
        """
        ensure_logging()
        if isinstance(overrides, str):
            raise EngineError(f"overrides is a list of key=value strings; write [{overrides!r}]")
        host = host or PluginHost.discover()
        return cls.from_loaded(load_recipe(source, overrides, host).recipe, host)

    @classmethod
    def from_loaded(cls, recipe: Recipe, host: PluginHost) -> Engine:
        """The engine of a validated recipe."""
        started = time.perf_counter()
        check_writable(recipe.output)
        device = resolve_device(recipe.device)
        embedder = build_embedder(recipe, device)
        data = prepare(
            build_sources(recipe, embedder),
            recipe.mode,
            recipe.data.filters,
            recipe.data.split or Split(),
            recipe.seed,
            embedder,
            recipe.data.difficulty,
            None if embedder is None else embedder.further,
        )
        if embedder is not None:
            embedder.close()  # nothing more is encoded, and training can use the memory
        input_dim, output_dim = data.train.inputs.shape[1], data.train.targets.shape[1]
        core = build_core(recipe, input_dim, output_dim).to(device)
        backend = use_recipe_backend(core, recipe, host)
        # The lock names what computed the run.
        recipe = attrs.evolve(recipe, lattice=attrs.evolve(recipe.lattice, backend=backend.name))
        engine = cls(
            data=data,
            core=core,
            loss=build_criterion(
                recipe, output_dim, {name: rows.shape[1] for name, rows in data.train.further.items()}
            ),
            sampler=None if recipe.sampler is None else built(recipe.sampler, SamplerContext()),
            negatives=None if recipe.negatives is None else built(recipe.negatives, NegativesContext()),
            train=recipe.train,
            mode=recipe.mode,
            seed=recipe.seed,
            device=str(device),
            name=recipe.name,
            output=recipe.output,
            baselines=recipe.evaluation.baselines,
            control=recipe.control,
            loggers=[partial(built, ref) for ref in recipe.loggers],
            host=host,
            recipe=recipe,
            teacher=None
            if embedder is None
            else {
                "name": recipe.teacher,
                "type": recipe.teachers[recipe.teacher or ""].type,
                "dim": embedder.teacher.dim,
                "fingerprint": embedder.teacher.fingerprint,
                "encoding": embedder.figures.to_dict(),
                **_further_teachers(embedder),
            },
        )
        engine.seconds_by_phase["data"] = time.perf_counter() - started
        return engine

    def run(
        self,
        resume: Literal["auto"] | Path | str | None = None,
        should_stop: Callable[[int], bool] = lambda step: False,
    ) -> Result | None:
        """Trains, evaluates and writes the run folder. None where ``should_stop`` or ``train.max_time`` ended it early:
        resume it later.

        ``resume``: a run folder or one of its step checkpoints, or ``auto`` for the newest unfinished run of this name
        (a new run where there is none). ``should_stop`` is asked after each optimiser step, with the steps done.

        In a process group of ``torch.distributed``, all processes must call this: they share the work of training, and
        the first one alone writes, evaluates on the test split and returns the result; the others return None.
        ``finished`` says in each whether training came to its end.
        """
        with ExitStack() as held:
            held.enter_context(deterministic_algorithms(self.train.deterministic))
            return self._run(resume, should_stop, current_ranks(), held)

    def _run(
        self,
        resume: Literal["auto"] | Path | str | None,
        should_stop: Callable[[int], bool],
        ranks: Ranks,
        held: ExitStack,
    ) -> Result | None:
        started = time.perf_counter()
        deadline = started + self.train.max_seconds - self.seconds_by_phase.get("data", 0.0)
        device = resolve_device(self.device)
        data = on_device(self.data, self.mode, self.seed, device)
        label = run_label(self.name, self.control)
        checkpoint = self._checkpoint(resume, label, ranks)
        if checkpoint is not None and ranks.writes:
            held.enter_context(sole_owner(checkpoint.path.parent.parent))
        # What may change on the way, without changing what is computed.
        fixed = attrs.evolve(self.train, max_time=None, memory_budget=None, profile=False)
        facts = {**checkpoint_facts(data), "setup": repr((fixed, self.mode, self.seed, self.control))}
        if isinstance(self.core, EmbeddingProcessor):
            facts["size"] = list(self.core.size)
        if checkpoint is not None:
            require_same_recipe(checkpoint.path.parent.parent, self.recipe)
            require_same_facts(checkpoint, facts)
        # A control that was fitted to the true pairs would know what it must not.
        train, extra = self._rows_to_train_on(data)
        self._prepare_core(train, device)
        untrained = evaluate(apply_core(self.core, data.test.inputs, ranks), data.test, data.corpus)
        adapters_negatives = self._negatives_for_adapters(data.train)
        rows = training_rows(train, extra, self.mode, self.seed, self.sampler)
        # A loss may have parameters. A copy's are trained: baselines, and another run, start from the first ones.
        untrained_criterion = self.loss if isinstance(self.loss, Criterion) else Criterion([("loss", 1.0, self.loss)])
        untrained_criterion.to(device).fit(rows.pairs.targets, rows.pairs.whole(progress=0.0))
        criterion = copy.deepcopy(untrained_criterion)
        # What can fail is tried before there is a folder, so that a run that cannot start leaves none.
        monitor_of(self.train, data.validation)
        trained_parameters(self.core, criterion)
        memory = plan_memory(self.core, data.train.inputs.shape[1], self.train, ranks.size)
        require_room(memory, self.core, self.train)
        first = score_validation(self.core, criterion, data.validation, self.train.batch_size, self.seed)
        if math.isnan(first[self.train.monitor]):
            raise TrainingError(
                f"train.monitor: {self.train.monitor} has no value on these validation rows; choose another"
            )
        run_dir = checkpoint.path.parent.parent if checkpoint is not None else self._new_run_dir(label, ranks, held)
        self.run_dir = run_dir
        steps = total_steps(self.train, rows)
        with ExitStack() as loggers:
            events = Events(RunInfo(run_dir, self.name, self.core, steps), clock=Clock(device, self.train.profile))
            if ranks.writes:
                context = LoggerContext(run_dir, self.name, steps, None if checkpoint is None else checkpoint.step)
                events.manager = None if self.host is None else self.host.manager
                for build in self.loggers:
                    logger = build(context)
                    loggers.callback(logger.close)
                    events.loggers.append(logger)
            trainer = Trainer(
                core=self.core,
                criterion=criterion,
                rows=rows,
                validation=data.validation,
                options=self.train,
                seed=self.seed,
                checkpoints=run_dir / CHECKPOINTS,
                facts=facts,
                events=events,
                should_stop=lambda step: should_stop(step) or time.perf_counter() >= deadline,
                negatives=self.negatives,
                ranks=ranks,
            )
            if checkpoint is not None:
                trainer.restore(checkpoint)
            log.info(
                "run started" if checkpoint is None else "run resumed",
                run_dir=str(run_dir),
                step=trainer.step,
                of=steps,
                device=str(device),
                processes=ranks.size,
                memory=in_words(memory.total) if memory.reason is None else str(memory),
            )
            events.start()
            outcome = trainer.run()
            if not outcome.finished:
                trainer.save()
        self.finished = outcome.finished
        self.seconds_by_phase["train"] = time.perf_counter() - started
        if not ranks.writes:
            return None
        if outcome.finished:
            result = self._conclude(
                run_dir,
                outcome,
                events.clock.seconds,
                data,
                untrained_criterion,
                untrained,
                adapters_negatives,
                lambda: should_stop(outcome.step) or time.perf_counter() >= deadline,
            )
            if result is not None:
                events.end(result.to_dict())
                return result
        late = {"reason": "train.max_time is over"} if time.perf_counter() >= deadline else {}
        log.warning("run stopped before its end", run_dir=str(run_dir), step=outcome.step, of=steps, **late)
        return None

    def _checkpoint(self, resume: Literal["auto"] | Path | str | None, label: str, ranks: Ranks) -> Checkpoint | None:
        """The one to go on from, which the first process chooses."""
        if resume is None:
            return None
        chosen = find_checkpoint(resume, self.output, label) if ranks.writes else None
        path = ranks.from_first(None if chosen is None else chosen.path)
        return None if path is None else chosen or open_checkpoint(path)

    def _new_run_dir(self, label: str, ranks: Ranks, held: ExitStack) -> Path:
        """Made by the first process, which owns it while the run lasts."""
        run_dir = None
        if ranks.writes:
            run_dir = new_run_dir(self.output, label)
            held.enter_context(sole_owner(run_dir))
            if self.recipe is not None:
                write_atomically(run_dir / LOCK_FILE, recipe_to_yaml(self.recipe))
        made: Path = ranks.from_first(run_dir)
        return made

    def _rows_to_train_on(self, data: Splits) -> tuple[Pairs, Pairs | None]:
        if self.control != "shuffled_targets":
            return data.train, data.extra
        extra = None if data.extra is None else with_shuffled_targets(data.extra, self.seed)
        return with_shuffled_targets(data.train, self.seed), extra

    def _prepare_core(self, train: Pairs, device: torch.device) -> None:
        """From its first weights, whatever an earlier call has trained, or from another run's: on the device."""
        if self._first_weights is None:
            self._first_weights = copy.deepcopy(self.core.state_dict())
        self.core.load_state_dict(self._first_weights)
        self.core.to(device)
        if self.train.init_from is not None:
            start_from(self.train.init_from, self.core)
        elif isinstance(self.core, EmbeddingProcessor):
            self.core.fit(train.inputs, train.targets)
        if isinstance(self.core, EmbeddingProcessor):
            if self.control == "frozen_lattice":
                self.core.kernel.requires_grad_(False)
                if not any(parameter.requires_grad for parameter in self.core.parameters()):
                    raise TrainingError(
                        "control frozen_lattice leaves nothing to train: this reshape learns nothing; use one that "
                        "does, such as 'projection' with a rank above 0, or a lattice.shortcut"
                    )
        elif self.control == "frozen_lattice":
            raise TrainingError(
                "control frozen_lattice needs an EmbeddingProcessor as core: nothing else has a lattice"
            )

    def _negatives_for_adapters(self, train: Pairs) -> NegativeTable | None:
        """Those that the core starts with, if an adapter is to be trained: an adapter's are not chosen again."""
        if self.negatives is None or not BODIES.keys() & set(self.baselines):
            return None
        return choose_negatives(self.negatives, train, len(train), self.core, seed=self.seed, epoch=0)

    def _conclude(
        self,
        run_dir: Path,
        outcome: Outcome,
        step_seconds: Mapping[str, float],
        data: Splits,
        criterion: Criterion,
        untrained: dict[str, float],
        adapters_negatives: NegativeTable | None,
        should_stop: Callable[[], bool],
    ) -> Result | None:
        """Scores the best core on the test split, beside the baselines, and writes result and curves; None if
        stopped.
        """
        started = time.perf_counter()
        best = newest_checkpoint(run_dir, "best")
        load_core_weights(best, self.core)
        test = evaluate(apply_core(self.core, data.test.inputs), data.test, data.corpus)
        if outcome.without_gradient and outcome.step > 1:
            # (The first step reaches only the last layer of a core whose last layer starts at zero.)
            log.warning("parameters that no gradient reached", parameters=outcome.without_gradient)
        baselines = score_baselines(
            self.baselines,
            data,
            self.mode,
            loss=criterion,
            monitor=self.train.monitor,
            seed=self.seed,
            batch_size=self.train.batch_size,
            should_stop=should_stop,
            sampler=self.sampler,
            table=adapters_negatives,
        )
        if baselines is None:
            return None
        self.seconds_by_phase["evaluate"] = time.perf_counter() - started
        result = Result(
            name=self.name,
            run_dir=run_dir,
            seconds=sum(self.seconds_by_phase.values()),
            peak_rss_mb=peak_rss_mb(),
            peak_device_mb=peak_device_mb(resolve_device(self.device)),
            parameters=sum(p.numel() for p in self.core.parameters() if p.requires_grad),
            test=test,
            untrained=untrained,
            baselines=baselines.rows,
            baselines_left_out=baselines.left_out,
            validation=best.facts["validation"],
            steps=outcome.step,
            epochs=outcome.epoch,
            best_step=outcome.best_step,
            stopped=outcome.reason,
            parameters_without_gradient=outcome.without_gradient,
            rows_per_s=outcome.rows_per_s,
            step_seconds=step_seconds,
            control=self.control,
            seed=self.seed,
            device=self.device,
            backend=backend_name(self.core),
            data=self.data.report,
            teacher=self.teacher,
            seconds_by_phase=self.seconds_by_phase,
        )
        write_atomically(run_dir / RESULT_FILE, result.to_json())
        try:
            draw_curves(outcome.history, self.train.monitor, outcome.best_step, run_dir / "curves.png")
        except OSError as error:
            log.warning("curves not drawn", reason=str(error))  # the result is safe
        log.info("run finished", run_dir=str(run_dir), seconds=round(result.seconds, 1), reason=outcome.reason)
        return result


def _further_teachers(embedder: Embedder) -> dict[str, Any]:
    """What the result says of them, where there are any."""
    if not embedder.further:
        return {}
    facts = {
        name: {
            "dim": other.teacher.dim,
            "fingerprint": other.teacher.fingerprint,
            "encoding": other.figures.to_dict(),
        }
        for name, other in embedder.further.items()
    }
    return {"further": facts}
