"""How the work is done: threads, memory that runs short, counting, and letting go."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from core_engine_teachers import devices
from core_engine_teachers.encoder import Encoder
from core_engine_teachers.forward import TorchForward
from core_engine_teachers.loading import load_forward
from core_engine_teachers.locate import Located
from core_engine_teachers.options import EncoderOptions
from reference import build, one_by_one
from structlog.testing import capture_logs
from tiny_models import POSITIONS, TEXTS
from torch import Tensor

from core_engine.errors import TeacherError

ModelOf = Callable[[str], Path]
OPTIONS = EncoderOptions(normalize=False, batch_tokens=40)
MANY = [f"{text} {other}" for text in TEXTS[:1] + TEXTS[3:] for other in TEXTS[:1] + TEXTS[3:]]


class Watched:
    """A model that notes who calls it, and fails where it is told to."""

    def __init__(self, folder: Path, fail: Callable[[int, int], Exception | None] = lambda rows, width: None) -> None:
        self._forward: TorchForward = load_forward(folder, OPTIONS, POSITIONS, "cpu")
        self.input_names = self._forward.input_names
        self.vocabulary = self._forward.vocabulary
        self.calls: list[tuple[str, int, tuple[int, int]]] = []
        self._fail = fail

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        rows, width = inputs["input_ids"].shape
        self.calls.append((threading.current_thread().name, torch.get_num_threads(), (rows, width)))
        if error := self._fail(rows, width):
            raise error
        return self._forward(inputs)


def encoder_of(folder: Path, model: Watched, options: EncoderOptions = OPTIONS) -> Encoder:
    return Encoder(Located(folder, "tiny", "folder"), options, "cpu", load=lambda: model)


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    MemoryError(),
]


@pytest.mark.parametrize(
    ("error", "threads"),
    [*((error, 1) for error in OUT_OF_MEMORY), (OUT_OF_MEMORY[0], 2)],
    ids=lambda v: type(v).__name__,
)
def test_what_does_not_fit_in_memory_is_computed_in_smaller_batches(
    tiny_model: ModelOf, error: Exception, threads: int
) -> None:
    torch.set_num_threads(threads)
    folder = tiny_model("bert")
    model = Watched(folder, lambda rows, width: error if rows * width > 30 else None)
    encoder = encoder_of(folder, model)
    with capture_logs() as logs:
        rows = encoder.encode(MANY)
    torch.testing.assert_close(rows, one_by_one(folder, MANY), atol=1e-5, rtol=1e-5)
    assert encoder.usage["tokens"] == sum(len(text.split()) + 2 for text in MANY)  # none twice
    told = [log for log in logs if log["log_level"] == "warning"]
    assert told
    assert all("did not fit in memory" in log["event"] for log in told)
    assert told[-1]["batch_tokens"] <= 36
    failed = sum(rows * width > 30 for _, _, (rows, width) in model.calls)
    encoder.encode(MANY)
    assert sum(rows * width > 30 for _, _, (rows, width) in model.calls) == failed  # the smaller budget is kept


def test_one_text_that_does_not_fit_is_an_error(tiny_model: ModelOf) -> None:
    folder = tiny_model("bert")
    model = Watched(folder, lambda rows, width: torch.OutOfMemoryError("no memory") if width > 8 else None)
    with pytest.raises(TeacherError, match=r"text of 17 tokens does not fit in the memory of cpu: 'is br.*Lower"):
        encoder_of(folder, model).encode(TEXTS)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert not devices.is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied; memory"))
    assert not devices.is_out_of_memory(ValueError("DefaultCPUAllocator: can't allocate memory"))


@pytest.mark.parametrize(("threads", "workers", "each"), [(1, 1, 1), (2, 2, 1), (5, 4, 1), (8, 4, 2)])
def test_threads_share_the_batches_and_torchs_threads(
    tiny_model: ModelOf, threads: int, workers: int, each: int
) -> None:
    torch.set_num_threads(threads)
    folder = tiny_model("bert")
    together = threading.Barrier(workers)
    model = Watched(folder)
    first = threading.local()

    def meet(rows: int, width: int) -> None:
        if not hasattr(first, "met"):
            first.met = True
            together.wait(timeout=20)  # breaks unless all work at the same time

    model._fail = meet
    rows = encoder_of(folder, model).encode(MANY)
    torch.testing.assert_close(rows, one_by_one(folder, MANY), atol=1e-5, rtol=1e-5)
    assert len({name for name, _, _ in model.calls}) == workers
    assert {count for _, count, _ in model.calls} == {each}
    assert (threading.current_thread().name in {name for name, _, _ in model.calls}) == (workers == 1)
    assert torch.get_num_threads() == threads
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [threads]  # threads made afterwards start with all again


def test_one_batch_has_all_of_torchs_threads(tiny_model: ModelOf) -> None:
    torch.set_num_threads(2)
    model = Watched(tiny_model("bert"))
    encoder_of(tiny_model("bert"), model).encode(["dogs", "cats"])
    assert [count for _, count, _ in model.calls] == [2]


def test_two_encoders_give_the_same_bits(tiny_model: ModelOf) -> None:
    torch.set_num_threads(2)
    one, other = (build(tiny_model("bert"), batch_tokens=40).encode(MANY) for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_exception_comes_out_as_itself_and_stops_the_rest(tiny_model: ModelOf, threads: int) -> None:
    torch.set_num_threads(threads)
    together = threading.Barrier(threads)

    def fail_in_one(rows: int, width: int) -> Exception | None:
        if together.wait(timeout=20) == 0:
            return KeyError("own")
        time.sleep(0.2)  # until the other thread has failed
        return None

    model = Watched(tiny_model("bert"), fail_in_one)
    with pytest.raises(KeyError, match="own"):
        encoder_of(tiny_model("bert"), model).encode(MANY)
    assert len(model.calls) == threads
    assert torch.get_num_threads() == threads


def test_tokens_are_counted_without_padding(tiny_model: ModelOf) -> None:
    encoder = build(tiny_model("bert"))
    assert encoder.usage == {"tokens": 0, "cut": 0}
    encoder.encode(["dogs", "two dogs"])
    assert encoder.usage == {"tokens": 3 + 4, "cut": 0}
    encoder.encode(["dogs"])
    assert encoder.usage == {"tokens": 10, "cut": 0}


def test_close_lets_the_model_go_and_encode_brings_it_back(tiny_model: ModelOf) -> None:
    torch.set_num_threads(2)
    encoder = build(tiny_model("bert"), batch_tokens=40)
    encoder.close()  # nothing is loaded yet
    before = encoder.encode(MANY)
    model = weakref.ref(encoder._forward.model)  # type: ignore[attr-defined]
    tokenizer = weakref.ref(encoder._tokenization)
    assert model() is not None
    gc.disable()
    try:
        encoder.close()
        assert model() is None
        assert tokenizer() is None
    finally:
        gc.enable()
    assert torch.equal(encoder.encode(MANY), before)


def test_a_head_comes_before_normalisation_and_decides_the_dimension(tiny_model: ModelOf) -> None:
    folder = tiny_model("bert")
    head = torch.nn.Linear(16, 5).requires_grad_(False)
    encoder = Encoder(Located(folder, "tiny", "folder"), EncoderOptions(), "cpu", head=head, dim=5)
    expected = torch.nn.functional.normalize(head(one_by_one(folder, TEXTS)), dim=1)
    torch.testing.assert_close(encoder.encode(TEXTS), expected, atol=1e-5, rtol=1e-5)
    wrong = Encoder(Located(folder, "tiny", "folder"), EncoderOptions(), "cpu", head=head)
    with pytest.raises(TeacherError, match="embeddings have 5 dimensions, but its files say 16"):
        wrong.encode(TEXTS)


def test_pooling_can_be_replaced(tiny_model: ModelOf) -> None:
    folder = tiny_model("bert")
    encoder = Encoder(
        Located(folder, "tiny", "folder"),
        EncoderOptions(normalize=False),
        "cpu",
        pool=lambda hidden, mask: hidden[:, 0] + mask.sum(1, keepdim=True),
    )
    lengths = torch.tensor([[len(text.split()) + 2.0] for text in TEXTS])
    expected = one_by_one(folder, TEXTS, "cls") + lengths
    torch.testing.assert_close(encoder.encode(TEXTS), expected, atol=1e-5, rtol=1e-5)
