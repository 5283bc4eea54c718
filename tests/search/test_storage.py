from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import pytest

from charlstm.errors import SearchError
from charlstm.search.folder import SearchFolder
from charlstm.search.record import Record
from charlstm.search.space import Space, parse_space
from charlstm.search.storage import (
    JOURNAL,
    load_optuna,
    open_storage,
    remove_incomplete_line,
    shown_storage,
    storage_errors,
)
from charlstm.search.study import SharedStudy

SPACE = parse_space(["cell=lstm,coupled"], {})
NAME = "trial-{:04d}".format  # of a run, from its trial's number


def record(**changes: object) -> Record:
    values = {
        "sha256": "ab" * 32, "given": {"lr": 0.1}, "automatic": {"cell": "coupled"}, "minutes": 0.0,
        "tries": ("cell=lstm,coupled",), "space": SPACE, "epochs": 1, "seed": 1, "prune": False,
    }  # fmt: skip
    return Record(**{**values, **changes})  # type: ignore[arg-type]


def study_in(path: Path) -> SharedStudy:
    """A new study, or the one that is there."""
    study = SharedStudy(SearchFolder(path), None, "x")
    if study.record() is None:
        study.create(record())
    return study


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b""),
        (b'{"a":1}\n', b'{"a":1}\n'),
        (b'{"a":1}\n{"b"', b'{"a":1}\n'),
        (b'{"b"', b""),
        (b"x\n" + b"y" * 10_000, b"x\n"),
    ],
)
def test_an_incomplete_line_is_removed(tmp_path: Path, before: bytes, after: bytes) -> None:
    path = tmp_path / JOURNAL
    path.write_bytes(before)
    remove_incomplete_line(str(path))
    assert path.read_bytes() == after


def test_an_append_that_was_cut_off_damages_nothing(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    study.begin("x", NAME, {"cell": "lstm"}, record()).lock.release()
    whole = (tmp_path / JOURNAL).read_bytes()
    study.begin("x", NAME, {"cell": "coupled"}, record()).lock.release()
    last = (tmp_path / JOURNAL).read_bytes()[len(whole) :]
    study.folder.close()
    for cut in (1, len(last) // 2, len(last) - 1):
        (tmp_path / JOURNAL).write_bytes(whole + last[:cut])
        again = study_in(tmp_path)
        assert len(again.trials("x")) == 1
        task = again.begin("x", NAME, {"cell": "coupled"}, record())
        again.finish(task, "x", 2.5, {"seconds": 1.0})
        again.folder.close()
        reopened = study_in(tmp_path)
        assert [trial.state.name for trial in reopened.trials("x")] == ["RUNNING", "COMPLETE"]
        assert reopened.trials("x")[1].value == 2.5
        reopened.folder.close()


def test_a_running_trial_whose_lock_is_free_is_adopted(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    task = study.begin("x", NAME, {"cell": "lstm"}, record(), attrs={"more": 1})
    other = study_in(tmp_path)
    assert not other.folder.alone
    assert other.adopt("x") is None  # its process is alive
    task.lock.release()
    adopted = other.adopt("x")
    assert adopted is not None
    assert (adopted.number, adopted.run, adopted.values) == (0, "trial-0000", {"cell": "lstm"})
    assert adopted.interrupted
    assert study.adopt("x") is None  # now the other process has it
    other.finish(adopted, "x", None, {"fault": "diverged"})
    assert study.trials("x")[0].state.name == "PRUNED"
    assert study.adopt("x") is None
    for one in (study, other):
        one.folder.close()
    assert SearchFolder(tmp_path).alone


def two_machines(folder: Path) -> list[SharedStudy]:
    """A study in a database, as two machines see it; each has a folder of its own."""
    url = f"sqlite:///{folder}/study.db"
    studies = []
    for name in ("one", "two"):
        (folder / name).mkdir()
        studies.append(SharedStudy(SearchFolder(folder / name), url, "x"))
    studies[0].create(record())
    return studies


def test_a_run_has_its_trial_s_number_where_two_machines_ask_at_once(tmp_path: Path) -> None:
    studies = two_machines(tmp_path)

    def name_late(number: int) -> str:
        if number == 0:  # the other machine stores its trial after this one has counted
            studies[1].begin("x", NAME, {"cell": "coupled"}, record()).lock.release()
        return NAME(number)

    task = studies[0].begin("x", name_late, {"cell": "lstm"}, record())
    assert (task.number, task.run) == (1, "trial-0001")
    runs = [trial.user_attrs["run"] for trial in studies[1].trials("x")]
    assert runs == ["trial-0000", "trial-0001"]
    assert studies[0].adopt("x") is None  # its lock is that of the new name
    task.lock.release()
    adopted = studies[0].adopt("x")
    assert adopted is not None
    assert adopted.run == "trial-0001"
    for study in studies:
        study.folder.close()


def test_trials_of_another_folder_are_left_to_it(tmp_path: Path) -> None:
    """Two machines share a database, and each has its own runs."""
    studies = two_machines(tmp_path)
    assert studies[1].record() == studies[0].record()
    task = studies[0].begin("x", NAME, {"cell": "lstm"}, record())
    task.lock.release()
    assert studies[1].adopt("x") is None
    assert studies[0].adopt("x") is not None
    second = studies[1].begin("x", NAME, {"cell": "coupled"}, record())
    assert second.number == 1
    for study in studies:
        study.folder.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sha256": "cd" * 32}, ["another text", "abababababab", "--name"]),
        ({"given": {"lr": 0.2}}, ["other options: --lr.", "--name"]),
        ({"given": {"lr": 0.1, "maxlen": 8}}, ["other options: --maxlen."]),
        ({"tries": ("cell=gru,lstm",)}, ["other options: --try."]),
        ({"seed": 2, "epochs": 3}, ["other options: --seed, --trial-epochs."]),
        ({"minutes": 0.5, "epochs": 0}, ["other options: --trial-minutes."]),
    ],
)
def test_another_search_of_that_name(changes: dict[str, object], words: list[str]) -> None:
    stored = Record.from_json(json.loads(json.dumps(record().to_json())))
    stored.check(record(), "the search")
    stored.check(record(epochs=0), "the search")  # a budget that is not given is the stored one
    with pytest.raises(SearchError) as caught:
        stored.check(record(**changes), "the search 'x'")
    assert len(str(caught.value).splitlines()) == 2
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("damage", [b"not json\n", b'{"op_code":77}\n', b"[1]\n"])
def test_a_damaged_journal_is_named(tmp_path: Path, damage: bytes) -> None:
    study_in(tmp_path).folder.close()
    path = tmp_path / JOURNAL
    path.write_bytes(damage + path.read_bytes())
    with pytest.raises(SearchError, match=r"journal .* is damaged"):
        study_in(tmp_path)


@pytest.mark.parametrize(
    ("url", "shown", "words"),
    [
        ("postgresql://me:secret@127.0.0.1:1/x", "postgresql://me:***@127.0.0.1:1/x", "refused"),
        ("sqlite:////nowhere/at/all.db", "sqlite:////nowhere/at/all.db", "unable to open"),
        ("no url: secret", "--storage", "cannot be used"),
        ("nodb://me:secret@host/x", "nodb://me:***@host/x", "cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_reached(tmp_path: Path, url: str, shown: str, words: str) -> None:
    if url.startswith("postgresql"):
        pytest.importorskip("psycopg", reason="psycopg is not installed")
    with pytest.raises(SearchError) as caught:
        open_storage(tmp_path, url, alone=True)
    text = str(caught.value)
    assert shown in text
    assert words in text
    assert "secret" not in text
    assert len(text.splitlines()) == 2
    assert shown_storage(tmp_path, url) == shown


def test_a_driver_that_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"driver of .*:\*\*\*@host.*not installed.*\n.*psycopg"):
        open_storage(tmp_path, "oracle+oracledb://me:secret@host/x", alone=True)


def test_optuna_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SearchError, match=r"not installed.\n.*pip install 'charlstm\[search\]'"):
        load_optuna()


def test_a_full_disk_under_the_journal(tmp_path: Path) -> None:
    with (
        pytest.raises(SearchError, match=r"journal\.log cannot be used: No space left.*\n.*saved"),
        storage_errors(tmp_path, None),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_record_of_a_newer_version() -> None:
    data = {**record().to_json(), "new": 1}
    with pytest.raises(SearchError, match="another version of charlstm"):
        Record.from_json(data)
    assert Record.from_json(record().to_json()).space == Space(SPACE.dimensions)
