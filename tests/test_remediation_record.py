"""The record: whole lines on disk, pieces of lines after a crash, and lines that somebody changed or removed."""

import errno
import hashlib
import json
import os
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repairing import NOW, at, forked, heard

from stability.remediation.record import TORN, Record
from stability.schema import ContractError


def filled(path, lines=5):
    record = Record(path)
    for k in range(lines):
        record.append("line", at(k), k=k)
    return record


def write(talk, path, name, lines):
    """What the other process does: line after line, each acknowledged when it is on disk."""
    record = Record(path)
    talk.recv()
    for k in range(lines):
        record.append("line", NOW, by=name, k=k, pad="x" * 500)
        talk.send(k)


def test_what_was_written_is_read_again_in_order_by_whoever_opens_it(tmp_path):
    record = filled(tmp_path / "deep" / "record.jsonl")
    again = Record(record.path)
    assert [entry.facts["k"] for entry in again.entries()] == [0, 1, 2, 3, 4]
    assert [entry.at for entry in again.entries()] == [at(k) for k in range(5)]
    record.append("more", NOW, kind="a fact may be called as anything is", now=1)
    assert again.entries()[-1].facts == {"kind": "a fact may be called as anything is", "now": 1}
    assert Record(tmp_path / "none.jsonl").entries() == []


def test_only_what_is_new_is_read_again(tmp_path, monkeypatch):
    record = filled(tmp_path / "record.jsonl")
    parsed, parse = [], record._parsed
    monkeypatch.setattr(record, "_parsed", lambda line: parsed.append(line) or parse(line))
    record.entries()
    assert parsed == []
    Record(record.path).append("other", NOW)
    assert len(record.entries()) == 6
    assert len(parsed) == 1


@pytest.mark.parametrize("facts", [{"a": float("nan")}, {"a": object()}, {"a": {1, 2}}])
def test_what_is_no_json_is_refused_and_leaves_no_line(tmp_path, facts):
    record = filled(tmp_path / "record.jsonl")
    before = record.path.read_bytes()
    with pytest.raises(ContractError, match="JSON"):
        record.append("line", NOW, **facts)
    assert record.path.read_bytes() == before


def test_a_moment_without_zone_is_refused(tmp_path):
    with pytest.raises(ContractError, match="with its zone"):
        Record(tmp_path / "record.jsonl").append("line", NOW.tz_localize(None))


@settings(max_examples=15)
@given(piece=st.binary(min_size=1, max_size=60), twice=st.booleans())
def test_a_piece_that_a_crash_left_is_passed_over_kept_and_told_of(tmp_path_factory, piece, twice):
    record = filled(tmp_path_factory.mktemp("torn") / "record.jsonl", 2)
    with record.path.open("ab") as file:
        file.write(piece)
    assert len(Record(record.path).entries()) == 2
    if twice:  # the line that tells of it is torn in turn
        with record.path.open("ab") as file:
            file.write(b'\n{"at": "2026')
    later = Record(record.path)
    later.append("after", NOW)
    entries = Record(record.path).entries()
    assert [entry.kind for entry in entries] == ["line", "line", TORN, "after"]
    assert piece in record.path.read_bytes()
    assert len(record.entries()) == 4  # whoever had it open, too


def test_wherever_the_line_that_tells_of_a_piece_is_torn_it_goes_on(tmp_path):
    record = filled(tmp_path / "record.jsonl", 2)
    before, head = record.path.read_bytes(), record.head.read_bytes()
    with record.path.open("ab") as file:
        file.write(b"half a line")
    Record(record.path).append("after", NOW)
    whole = record.path.read_bytes()
    told = whole.index(b"\n", len(before) + len(b"half a line\n")) + 1  # where the telling line ends
    for cut in range(len(before), told + 1):
        record.path.write_bytes(whole[:cut])
        record.head.write_bytes(head)
        Record(record.path).append("later", NOW)
        Record(record.path).append("last", NOW)
        kinds = [entry.kind for entry in Record(record.path).entries()]
        assert kinds[:2] + kinds[-2:] == ["line", "line", "later", "last"], cut


def test_a_line_that_lacks_nothing_but_its_end_is_whole(tmp_path):
    record = filled(tmp_path / "record.jsonl", 3)
    text = record.path.read_bytes()
    record.path.write_bytes(text[:-1])
    record.head.write_text(head_of(text, 2))
    later = Record(record.path)
    assert len(later.entries()) == 2
    later.append("after", NOW)
    assert [entry.kind for entry in Record(record.path).entries()] == ["line", "line", "line", "after"]


def head_of(text, lines):
    line = text.split(b"\n")[lines - 1]
    return json.dumps({"lines": lines, "hash": hashlib.sha256(line).hexdigest()})


def test_any_line_that_is_removed_changed_doubled_or_moved_is_seen(tmp_path):
    record = filled(tmp_path / "record.jsonl")
    text = record.path.read_bytes()
    lines = text.splitlines(keepends=True)
    for k in range(len(lines)):
        for wrong in (
            lines[:k] + lines[k + 1 :],
            [*lines[:k], lines[k].replace(b'"k"', b'"j"'), *lines[k + 1 :]],
            [*lines[:k], b"nothing\n", *lines[k + 1 :]],
            [*lines[: k + 1], lines[k], *lines[k + 1 :]],
            [*lines[: k + 1], b"put between\n", *lines[k + 1 :]] if k < 4 else lines[:-1],
        ):
            record.path.write_bytes(b"".join(wrong))
            with pytest.raises(ContractError, match="somebody changed it"):
                Record(record.path).entries()
    record.path.write_bytes(text)
    assert len(Record(record.path).entries()) == 5


@settings(max_examples=20)
@given(cut=st.integers(0, 2000))
def test_the_end_cannot_be_cut_off_unseen(tmp_path_factory, cut):
    record = filled(tmp_path_factory.mktemp("cut") / "record.jsonl", 4)
    text = record.path.read_bytes()
    record.path.write_bytes(text[: cut % len(text)])
    with pytest.raises(ContractError, match="somebody changed it"):
        Record(record.path).entries()


def test_the_head_belongs_to_it(tmp_path):
    record = filled(tmp_path / "record.jsonl")
    told = record.head.read_text()
    record.head.unlink()
    with pytest.raises(ContractError, match="somebody changed it"):
        Record(record.path).entries()
    record.head.write_text("{}")
    with pytest.raises(ContractError, match="lines and hash"):
        Record(record.path).entries()
    record.head.write_text(told)
    record.path.unlink()  # all of it is gone
    with pytest.raises(ContractError, match="the last ones were removed"):
        Record(record.path).entries()
    with pytest.raises(ContractError, match="the lines that were there"):
        record.entries()


@pytest.mark.parametrize("why", [errno.EROFS, errno.EACCES])
def test_a_copy_that_cannot_be_written_is_read(tmp_path, monkeypatch, why):
    record = filled(tmp_path / "record.jsonl")
    record._lock.unlink()  # as in a backup

    def refused(path, *_, **__):
        raise OSError(why, os.strerror(why), str(path))

    monkeypatch.setattr("stability.remediation.record.os.open", refused)
    assert len(Record(record.path).entries(ended=True)) == 5


def test_whoever_reads_waits_for_whoever_appends(tmp_path):
    record = filled(tmp_path / "record.jsonl")
    found = []
    reader = threading.Thread(target=lambda: found.append(len(Record(record.path).entries(ended=True))))
    with record.locked():
        with record.path.open("ab") as file:
            file.write(b"half a line")
        reader.start()
        reader.join(0.05)
        assert found == []
        record.append("line", NOW)
    reader.join()
    assert found == [7]  # the line that tells of the half one, too


@pytest.mark.parametrize("at", [b'"soon"', b'"2026-03-01T12:00:00"', b"null", b"1" * 40, b"[]"])
def test_a_line_whose_moment_is_none_is_told_with_its_row(tmp_path, at):
    record = filled(tmp_path / "record.jsonl", 2)
    line = json.loads(record.path.read_bytes().splitlines()[1])
    text = json.dumps(line | {"at": "AT"}).encode().replace(b'"AT"', at)
    record.path.write_bytes(record.path.read_bytes().splitlines(keepends=True)[0] + text + b"\n")
    record.head.write_text(head_of(record.path.read_bytes(), 2))
    with pytest.raises(ContractError, match=r"record\.jsonl, row 2: expected at as a moment with its zone"):
        Record(record.path).entries()


@pytest.mark.parametrize("head", [b"[" * 100_000, b'{"lines": Infinity, "hash": ""}'])
def test_a_head_that_is_none_is_told(tmp_path, head):
    record = filled(tmp_path / "record.jsonl", 1)
    record.head.write_bytes(head)
    with pytest.raises(ContractError, match=r"record\.jsonl\.head with lines and hash"):
        Record(record.path).entries()


def test_processes_that_write_at_once_lose_nothing_and_keep_the_chain(tmp_path):
    path = tmp_path / "record.jsonl"
    writers = [forked(write, path, name, 15) for name in "abc"]
    for _, talk in writers:
        talk.send("go")
    assert [heard(talk) for _, talk in writers] == [list(range(15))] * 3
    entries = Record(path).entries()
    assert [entry.number for entry in entries] == list(range(45))
    for name in "abc":
        assert [entry.facts["k"] for entry in entries if entry.facts["by"] == name] == list(range(15))


def test_threads_of_one_process_do_not_step_between(tmp_path):
    record, seen = Record(tmp_path / "record.jsonl"), []

    def twice(name):
        for _ in range(5):
            with record.locked():
                record.append("first", NOW, by=name)
                seen.append(record.append("second", NOW, by=name).number)

    threads = [threading.Thread(target=twice, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = record.entries()
    assert len(entries) == 40
    assert all(entries[k].facts["by"] == entries[k - 1].facts["by"] for k in seen)


@pytest.mark.parametrize("lines", [1, 4, 9])
def test_killed_at_any_moment_it_holds_all_that_was_acknowledged(tmp_path, lines):
    path = tmp_path / "record.jsonl"
    writer, talk = forked(write, path, "a", 100_000)
    talk.send("go")
    acknowledged = [talk.recv() for _ in range(lines)]
    time.sleep(0.003 * lines)
    writer.kill()
    acknowledged += heard(talk)
    writer.join()
    found = [entry.facts["k"] for entry in Record(path).entries() if entry.kind == "line"]
    assert found == list(range(len(found)))
    assert len(found) >= acknowledged[-1] + 1
    Record(path).append("after", NOW)
    assert Record(path).entries()[-1].kind == "after"
