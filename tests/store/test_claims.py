from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from core_engine.errors import OutputError
from core_engine.store import claims
from core_engine.store.claims import Writer, has_living_writers

A, B, C = (bytes([number]) * 32 for number in range(3))


def everything(keys: list[bytes]) -> list[bytes]:
    return keys


def test_what_one_writer_has_claimed_another_does_not_get(tmp_path: Path) -> None:
    with Writer(tmp_path) as one, Writer(tmp_path) as other:
        assert one.claim([A, B], everything) == [A, B]
        assert other.claim([B, C, A], everything) == [C]
        one.release()
        assert other.claim([B], everything) == [B]


def test_a_writer_that_leaves_takes_everything_with_it(tmp_path: Path) -> None:
    with Writer(tmp_path) as one:
        one.claim([A], everything)
        assert has_living_writers(tmp_path)
    assert not has_living_writers(tmp_path)
    assert [path.name for path in (tmp_path / "writers").iterdir()] in ([], ["guard.lock"])
    with Writer(tmp_path) as other:
        assert other.claim([A], everything) == [A]


def test_what_is_stored_is_not_claimed_and_is_looked_up_after_the_claims(tmp_path: Path) -> None:
    # The other writer publishes A and lets go between our look at the claims and our look at the rows, or before both.
    with Writer(tmp_path) as other, Writer(tmp_path) as one:
        other.claim([A], everything)
        asked: list[list[bytes]] = []

        def unstored(keys: list[bytes]) -> list[bytes]:
            asked.append(keys)
            return [key for key in keys if key != B]

        assert one.claim([A, B, C], unstored) == [C]
        assert asked == [[B, C]]


def claim_and_die(folder: str) -> None:
    writer = Writer(Path(folder))
    writer.__enter__()
    writer.claim([A], everything)
    os._exit(9)


def test_a_dead_writers_claim_counts_no_more(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=claim_and_die, args=(str(tmp_path),))
    process.start()
    process.join(timeout=60)
    assert process.exitcode == 9
    assert len(list((tmp_path / "writers").glob("*.claim"))) == 1
    with Writer(tmp_path) as writer:
        assert writer.claim([A, B], everything) == [A, B]
    assert not list((tmp_path / "writers").glob("*.alive"))


@pytest.mark.parametrize(("age", "got"), [(claims.LEASE - 60, [B]), (claims.LEASE + 60, [A, B])])
def test_a_writer_on_another_machine_is_waited_for_as_long_as_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float, got: list[bytes]
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(claims, "_machine", lambda: b"e" * 32)
        far = Writer(tmp_path)
        far.__enter__()
        far.claim([A], everything)
    [claim] = (tmp_path / "writers").glob("*.claim")
    os.utime(claim, (time.time() - age,) * 2)
    far._alive.release()  # a lock of another machine is not seen here
    with Writer(tmp_path) as near:
        assert near.claim([A, B], everything) == got


def test_a_torn_claim_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    with Writer(tmp_path) as one, Writer(tmp_path) as other:
        one.claim([A, B], everything)
        [claim] = (tmp_path / "writers").glob("*.claim")
        claim.write_bytes(claim.read_bytes()[:-5])
        assert other.claim([A, B], everything) == [B]


def test_a_lock_that_is_never_let_go_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "PATIENCE", 0.2)
    told = pytest.raises(OutputError, match=r"guard\.lock.*delete that file")
    with Writer(tmp_path) as one, Writer(tmp_path) as other, one._guard, told:
        other.claim([A], everything)


def test_no_place_among_the_writers_of_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="CORE_ENGINE_CACHE"), Writer(tmp_path / "file"):
        pass


def test_a_living_writer_of_this_machine_keeps_its_claim_however_old(tmp_path: Path) -> None:
    with Writer(tmp_path) as one, Writer(tmp_path) as other:
        one.claim([A], everything)
        [claim] = (tmp_path / "writers").glob("*.claim")
        os.utime(claim, (time.time() - 10 * claims.LEASE,) * 2)
        assert other.claim([A], everything) == []
        one.renew()
        assert time.time() - claim.stat().st_mtime < claims.LEASE
