"""Backups as archives: what is in them, and that no flipped bit and no missing byte goes unseen."""

import io
import json
import os
import random
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from backing import filled, state
from hypothesis import given
from hypothesis import strategies as st
from naive import link_leaves, whole_rows
from workbenches import CHECKOUT

from stability import backup
from stability.backup.archive import on_disk, pack, unpack
from stability.backup.contents import ELSEWHERE, FOLDERS, PRIVATE, WORK, contents, leaves
from stability.backup.manifest import Manifest
from stability.backup.plain import ARCHIVE, SUMS, Archives
from stability.schema import ContractError

FLIPS = 1_000


def described(entries, notes):
    return Manifest(
        moment=1.0, newest=1.0, home="/h", store="sqlite", versions={}, entries=entries, rows={}, runs=0, left_out=notes
    )


def packed(root, paths=None, **staged):
    stream = io.BytesIO()
    pack(stream, root, contents(root, encrypted=False).paths if paths is None else paths, staged, described)
    return stream.getvalue()


@pytest.fixture
def made(workbench):
    filled(workbench.folder)
    return backup.create(kind="archive").backup


def test_a_thousand_flips_and_cuts_are_all_found(made, tmp_path):
    """Each time one bit of a file is flipped, or bytes are cut off its end; the quick check must find all of them."""
    rng = random.Random(10)
    folder = made.repository.place / made.name
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    assert {path.name for path in whole} == {ARCHIVE, "manifest.json", SUMS}
    backup.verify(made, deep=False)
    missed, told, sizes = [], set(), [len(content) for content in whole.values()]
    for number in range(FLIPS):
        # Half of the damage by size, so that most of it is in the archive, half of it by file.
        weights = sizes if number % 2 else None
        ((path, content),) = rng.choices(list(whole.items()), weights)
        if number % 4 == 0:
            damaged = content[: rng.randrange(len(content))]
        else:
            place = rng.randrange(8 * len(content))
            changed = bytearray(content)
            changed[place // 8] ^= 1 << place % 8
            damaged = bytes(changed)
        path.write_bytes(damaged)
        try:
            backup.verify(made, deep=False)
            missed.append((path.name, number))
        except ContractError as error:
            told.add("expected a backup that is whole" in str(error))
        path.write_bytes(content)
    assert not missed
    assert told == {True}
    backup.verify(made)


def test_damage_that_whoever_made_it_has_summed_up_anew_is_found_inside(made, tmp_path):
    """The checksums outside are right again: the stream is refused, or gives exactly what was put in."""
    rng = random.Random(11)
    with Archives(made.repository.place).opened(made.name) as stream:
        content = stream.read()
    before = unpack(io.BytesIO(content), "whole")
    refused = []
    for number in range(60):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        stream = bytes(damaged) if number % 3 else content[: rng.randrange(len(content) - 20_000)]
        try:
            assert unpack(io.BytesIO(stream), "damaged") == before
        except ContractError as error:
            refused.append(str(error))
    assert len(refused) > 50
    assert all("damaged: expected" in said for said in refused)


def test_other_programs_read_it(made, tmp_path):
    folder = made.repository.place / made.name
    done = subprocess.run(["sha256sum", "-c", SUMS], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if shutil.which("zstd"):
        subprocess.run(["tar", "--zstd", "-xf", folder / ARCHIVE], cwd=tmp_path, check=True, capture_output=True)
        assert (tmp_path / "mlflow.db").is_file()
        assert (tmp_path / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()


def test_files_come_back_as_they_were(workbench, tmp_path):
    root = workbench.folder
    filled(root)
    (root / "runs" / "ünï cödé").write_bytes(b"x" * 3_000_000)
    os.utime(root / "runs" / "ünï cödé", (1_700_000_000.123456, 1_700_000_000.123456))
    (root / "runs" / os.fsdecode(b"not-\xff-utf8")).write_bytes(b"")
    manifest = unpack(io.BytesIO(packed(root)), "it", tmp_path / "new")
    assert not on_disk(tmp_path / "new", manifest)
    (root / "runs" / "watch" / "service" / "repairs.jsonl").write_text('{"action_id": 1}\n{"action_id": 2}\n')
    before = {name: said for name, said in state(root).items() if not name.startswith(("private", "mlflow.db"))}
    assert state(tmp_path / "new") == before
    assert (tmp_path / "new" / "runs" / "ünï cödé").stat().st_mtime == (root / "runs" / "ünï cödé").stat().st_mtime
    one, two = sorted((tmp_path / "new" / "runs" / "exp").glob("2026*/steps/a/feedback.parquet"))
    assert one.samefile(two), "a table that two nights share is there once"
    assert manifest.entries["runs/exp/latest"].target == "2026-11-01T02-00-00Z"


def test_a_line_that_is_being_written_waits_for_the_next_backup(tmp_path):
    (tmp_path / "runs").mkdir()
    for name, text in {"a.jsonl": "{1}\n{2}\n{3", "b.jsonl": "", "c.jsonl": "{no end", "d.txt": "a\nb"}.items():
        (tmp_path / "runs" / name).write_text(text)
    manifest = unpack(io.BytesIO(packed(tmp_path)), "it", tmp_path / "new")
    told = {path.name: path.read_text() for path in (tmp_path / "new" / "runs").iterdir()}
    assert told == {"a.jsonl": "{1}\n{2}\n", "b.jsonl": "", "c.jsonl": "{no end", "d.txt": "a\nb"}
    assert manifest.left_out == ["2 bytes at the end of runs/a.jsonl were no whole line: it was being written"]


ROWS = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), min_size=1, max_size=3)


@given(st.lists(ROWS, min_size=1, max_size=4), st.sampled_from(["", "\n"]), st.integers(0, 200))
def test_no_row_that_is_whole_is_lost_and_no_torn_one_is_taken(rows, end, cut):
    """Finished without a last newline, or cut anywhere: what comes back are the rows that are whole."""
    text = ("\n".join(json.dumps(row) for row in rows) + end).encode()
    written = text[: len(text) - cut] if cut < len(text) else text
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "runs").mkdir()
        (root / "runs" / "a.jsonl").write_bytes(written)
        unpack(io.BytesIO(packed(root)), "it", root / "new")
        back = (root / "new" / "runs" / "a.jsonl").read_bytes()
    assert back == whole_rows(written)


def test_what_goes_meanwhile_is_named(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "stays").write_text("x")
    manifest = unpack(io.BytesIO(packed(tmp_path, ["runs/stays", "runs/gone"])), "it")
    assert list(manifest.entries) == ["runs/stays"]
    assert manifest.left_out == ["runs/gone was removed while the backup was made"]


def test_a_backup_holds_no_locks_and_no_way_out(tmp_path):
    runs = tmp_path / "runs"
    for folder in (".environments/e", "exp", "watch/w"):
        (runs / folder).mkdir(parents=True)
    kept = ["exp/summary.json", "exp/requirements.lock", "exp/lock"]
    for name in (*kept, ".environments/e/x", "exp/.lock", ".store.lock", "exp/.a.part", "watch/w/lock", "exp/x.db-wal"):
        (runs / name).write_text("x")
    (runs / "out").symlink_to("/etc/passwd")
    (runs / "up").symlink_to("../../elsewhere")
    os.mkfifo(runs / "pipe")
    (tmp_path / "private").mkdir()
    found = contents(tmp_path, encrypted=False)
    assert found.paths == sorted(f"runs/{name}" for name in kept)
    assert sum("outside of the workbench" in sentence for sentence in found.left_out) == 2
    assert any("keys of pseudonyms" in sentence for sentence in found.left_out)
    assert not any("keys of pseudonyms" in sentence for sentence in contents(tmp_path, encrypted=True).left_out)


def test_every_folder_that_the_package_writes_to_is_in_a_backup_or_declared(tmp_path):
    """What a room keeps in a folder of its own at the top would be in no backup: this test finds it."""
    package, found = CHECKOUT / "stability", set()
    for path in package.rglob("*.py"):
        text = path.read_text()
        found |= set(re.findall(r"""home\(\) */ *["']([\w.-]+)""", text))
        for name in re.findall(r"home\(\) */ *([A-Z]\w*)", text):
            origin = re.search(rf"from stability\.([\w.]+) import [^()\n]*\b{name}\b", text)
            there = text if origin is None else (package / f"{origin[1].replace('.', '/')}.py").read_text()
            found |= set(re.findall(rf"""(?m)^{name} = (?:Path\()?["']([\w.-]+)""", there))
    assert found >= {"runs", "mlartifacts", "marks", "private", "data", "policies"}
    known = {*FOLDERS, PRIVATE, WORK.name, *ELSEWHERE, "mlflow.db", "requirements.lock"}
    assert found <= known
    (tmp_path / "mine").mkdir()
    (tmp_path / "runs").mkdir()
    told = [said for said in contents(tmp_path, encrypted=False).left_out if "own folders" in said]
    assert told == ["mine/ is none of the workbench's own folders, and is not in it"]


def test_a_link_that_leads_out_by_way_of_another_is_left_out(tmp_path):
    (tmp_path / "runs" / "exp").mkdir(parents=True)
    (tmp_path / "runs" / "exp" / "here").write_text("x")
    (tmp_path / "runs" / "exp" / "top").symlink_to("../..")
    (tmp_path / "runs" / "exp" / "out").symlink_to("top/../etc")
    (tmp_path / "runs" / "exp" / "latest").symlink_to("here")
    (tmp_path / "runs" / "exp" / "self").symlink_to("self")
    found = contents(tmp_path, encrypted=False)
    assert found.paths == ["runs/exp/here", "runs/exp/latest", "runs/exp/top"]
    assert {said.split(" ")[0] for said in found.left_out if "outside" in said} == {"runs/exp/out", "runs/exp/self"}


def test_a_folder_that_cannot_be_read_is_an_error():
    """As an account without rights, which the superuser becomes for that moment."""
    with tempfile.TemporaryDirectory() as folder:
        root, sealed = Path(folder), Path(folder) / "runs" / "exp" / "sealed"
        sealed.mkdir(parents=True)
        (sealed / "precious").write_text("x")
        root.chmod(0o755)
        sealed.chmod(0)
        account = os.geteuid()
        os.seteuid(account or 65_534)
        try:
            with pytest.raises(ContractError, match=r"sealed: expected a folder that can be read, got .*ermission"):
                contents(root, encrypted=False)
        finally:
            os.seteuid(account)
            sealed.chmod(0o700)


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("runs/up/../../evil", tarfile.SYMTYPE, "a"),
        ("runs/link", tarfile.SYMTYPE, "here/../../x"),
        ("runs/link", tarfile.SYMTYPE, "top/../x"),
        ("runs/a/evil", tarfile.REGTYPE, ""),
        ("runs", tarfile.SYMTYPE, "b"),
        ("runs/same", tarfile.LNKTYPE, "runs/top/../x"),
        ("runs/same", tarfile.LNKTYPE, "runs/here"),
        ("runs/null", tarfile.BLKTYPE, ""),
        ("runs/null", tarfile.FIFOTYPE, ""),
        ("runs/null", tarfile.DIRTYPE, ""),
        ("../evil", tarfile.REGTYPE, ""),
        ("/etc/evil", tarfile.REGTYPE, ""),
        ("runs/link", tarfile.SYMTYPE, "../../etc"),
        ("runs/link", tarfile.SYMTYPE, "/etc"),
        ("runs/same", tarfile.LNKTYPE, "/etc/passwd"),
        ("runs/here/evil", tarfile.REGTYPE, ""),
        ("runs/a", tarfile.REGTYPE, ""),
        ("runs/null", tarfile.CHRTYPE, ""),
    ],
)
def test_a_hostile_archive_writes_nothing_outside(tmp_path, name, kind, target):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for known, sort, to in (
            ("runs/a", tarfile.REGTYPE, ""),
            ("runs/here", tarfile.SYMTYPE, "."),
            ("runs/top", tarfile.SYMTYPE, ".."),
            (name, kind, target),
        ):
            info = tarfile.TarInfo(known)
            info.type, info.linkname = sort, to
            tar.addfile(info)
    stream.seek(0)
    with pytest.raises(ContractError, match="expected a backup that is whole"):
        unpack(stream, "hostile", tmp_path / "in" / "place")
    assert not {path.name for path in tmp_path.rglob("*")} & {"evil", "link", "same", "null"}


PARTS = st.sampled_from(["a", "b", "c", "..", "."])
PATHS = st.lists(PARTS, min_size=1, max_size=5).map("/".join)


@given(st.dictionaries(PATHS, PATHS | st.sampled_from(["/", "/etc"]), max_size=6))
def test_links_are_followed_as_the_system_follows_them(wanted):
    """Whatever links there are, one leads out exactly where the system goes out when it follows it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve() / "outer" / "place"
        place.mkdir(parents=True)
        links = {}
        for name, target in wanted.items():
            path = place / name
            if ".." in path.parts or any(parent.is_symlink() for parent in path.parents) or os.path.lexists(path):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
            links[path.relative_to(place).as_posix()] = str(path.readlink())
        for name in links:
            assert leaves(name, links) == link_leaves(place, name)


@given(st.binary(max_size=2_000))
def test_any_bytes_are_refused_in_a_sentence(content):
    with pytest.raises(ContractError, match="expected"):
        unpack(io.BytesIO(content), "noise")


def test_a_full_disk_is_no_damage(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a").write_text("x")
    content = packed(tmp_path)
    (tmp_path / "taken").write_text("a file where a folder should be")
    with pytest.raises(ContractError, match="expected a place that a backup can be restored to"):
        unpack(io.BytesIO(content), "it", tmp_path / "taken")


def test_what_changed_on_the_disk_is_named(tmp_path):
    (tmp_path / "runs").mkdir()
    for name in "abc":
        (tmp_path / "runs" / name).write_text(name)
    (tmp_path / "runs" / "link").symlink_to("a")
    manifest = unpack(io.BytesIO(packed(tmp_path)), "it", tmp_path / "new")
    (tmp_path / "new" / "runs" / "a").write_text("A")
    (tmp_path / "new" / "runs" / "b").unlink()
    (tmp_path / "new" / "runs" / "link").unlink()
    (tmp_path / "new" / "runs" / "link").symlink_to("c")
    assert on_disk(tmp_path / "new", manifest) == [
        "1 file is missing: runs/b",
        "2 files are not as they were: runs/a, runs/link",
    ]
