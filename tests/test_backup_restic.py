"""Backups in a repository of restic: encrypted, incremental, and whole or not counted. Debian's restic."""

import contextlib
import random
import signal
import socket
import subprocess
import sys
import time

import pytest
from backing import ANNA, SECRET, empty_repository, filled, state
from conftest import free_port, require

from stability import backup
from stability.backup import restic
from stability.backup.keeping import Keep
from stability.backup.places import chosen, told
from stability.schema import ContractError

FLIPS = 60


@pytest.fixture
def home(workbench, monkeypatch, tmp_path):
    require("restic")
    for name in ("RESTIC_PASSWORD_FILE", "RESTIC_REPOSITORY", "STABILITY_BACKUPS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESTIC_PASSWORD", SECRET)
    monkeypatch.setenv("RESTIC_CACHE_DIR", str(tmp_path / "cache"))
    filled(workbench.folder)
    (workbench.folder / "runs" / "watch" / "service" / "repairs.jsonl").write_text('{"action_id": 1}\n')
    return workbench.folder


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_it_is_encrypted_incremental_and_restored_with_its_keys(home, tmp_path):
    (home / "runs" / "large").write_bytes(random.Random(0).randbytes(3_000_000))
    before = state(home)
    done = backup.create()
    assert done.backup.repository.kind == "restic"
    assert not any("pseudonyms" in sentence for sentence in done.manifest.left_out)
    repository = home / "backups" / "restic"
    raw = b"".join(path.read_bytes() for path in repository.rglob("*") if path.is_file())
    assert ANNA.encode() not in raw
    assert SECRET.encode() not in raw
    first = size(repository)
    second = backup.create(keep=Keep(last=1, daily=0, weekly=0))
    assert size(repository) - first < 2_000_000, "what did not change is not stored again"
    assert second.removed == [done.backup.name]
    told = backup.drill(server=False)
    assert (told.findings, told.kind, told.backup) == ([], "restic", second.backup.name)
    backup.restore(into=tmp_path / "new")
    assert state(tmp_path / "new") == before
    assert (tmp_path / "new" / "private").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "private" / "pseudonym.key").stat().st_mode & 0o777 == 0o600


def test_a_stream_that_is_cut_does_not_count_and_is_swept(home, monkeypatch):
    repository = empty_repository(home / "elsewhere")
    monkeypatch.setenv("RESTIC_REPOSITORY", str(repository))
    first = backup.create().backup

    def cut(self, verb, *arguments):
        # The process dies before it says that the snapshot is whole: its input ended, and restic took it for good.
        if verb == "tag":
            raise ContractError(expected="to go on", got="a kill")
        return run(self, verb, *arguments)

    run = restic.Restic._run
    with monkeypatch.context() as patch:
        patch.setattr(restic.Restic, "_run", cut)
        with pytest.raises(ContractError, match="a kill"):
            backup.create()
    assert backup.backups() == [first]
    assert len(list((repository / "snapshots").iterdir())) == 2

    def breaks(*arguments):
        raise KeyError("a defect in the midst of a stream")

    with monkeypatch.context() as patch:
        patch.setattr("stability.backup.creation.pack", breaks)
        with pytest.raises(KeyError):
            backup.create()
    assert len(list((repository / "snapshots").iterdir())) == 1, "swept, and the broken one never was"


def test_damage_is_found(home):
    rng, repository = random.Random(5), empty_repository(home / "backups" / "restic")
    made = backup.create().backup
    files = [path for path in sorted(repository.rglob("*")) if path.is_file() and path.name != "config"]
    assert made.repository.damaged() == []
    sizes = [path.stat().st_size for path in files]
    missed = []
    for number in range(FLIPS):
        (path,) = rng.choices(files, sizes if number % 2 else None)
        content = path.read_bytes()
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.chmod(0o600)
        path.write_bytes(damaged if number % 4 else content[: rng.randrange(len(content))])
        if not made.repository.damaged():
            missed.append(path)
        path.write_bytes(content)
    assert not missed
    pack = max((path for path in files if path.parent.parent.name == "data"), key=lambda path: path.stat().st_size)
    content = pack.read_bytes()
    pack.write_bytes(content[:-1])
    with pytest.raises(ContractError, match="damaged files, such as data/"):
        backup.verify(made)
    pack.unlink()
    with pytest.raises(ContractError, match="restic check to end well"):
        backup.verify(made)


def test_passwords_come_from_the_environment_and_are_never_told(home, monkeypatch, tmp_path):
    empty_repository(home / "backups" / "restic")
    backup.create()
    monkeypatch.setenv("RESTIC_PASSWORD", "another-secret")
    with pytest.raises(ContractError, match="restic") as told:
        backup.create()
    assert "another-secret" not in str(told.value)
    monkeypatch.delenv("RESTIC_PASSWORD")
    with pytest.raises(ContractError, match="password in the environment"):
        backup.create(kind="restic")
    with pytest.raises(ContractError, match="a repository of restic: install restic and set RESTIC_PASSWORD"):
        backup.drill()
    assert backup.create().backup.repository.kind == "archive", "without a password a plain one"
    (tmp_path / "password").write_text(SECRET)
    monkeypatch.setenv("RESTIC_PASSWORD_FILE", str(tmp_path / "password"))
    assert [one.repository.kind for one in backup.backups()] == ["restic", "archive"]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContractError, match=r"expected restic on PATH, got none.*--as archive"):
        backup.create(kind="restic")


def test_an_address_without_an_answer_is_not_taken_for_an_empty_one(tmp_path, monkeypatch):
    require("restic")
    for name, value in {"RESTIC_PASSWORD": SECRET, "RESTIC_CACHE_DIR": "cache", "STABILITY_BACKUPS": "place"}.items():
        monkeypatch.setenv(name, value if value == SECRET else str(tmp_path / value))
    plain = "2026-11-01T00-00-00.000Z"
    (tmp_path / "place" / plain).mkdir(parents=True)
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    port = free_port()
    monkeypatch.setenv("RESTIC_REPOSITORY", f"rest:http://127.0.0.1:{port}/mine")
    server = subprocess.Popen([*command, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while server.poll() is None:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
        assert [one.name for one in backup.backups()] == [plain]  # it answers that nothing is there yet
    finally:
        server.kill()
        server.wait()
    with pytest.raises(ContractError, match="refused"):
        backup.backups()
    assert any("not known of all" in said for said in told()[1])
    assert chosen(plain).name == plain  # it is here, whoever else cannot be asked


def test_a_repository_that_somebody_else_has_locked(home, tmp_path):
    """Another machine prunes: nothing is written, nothing is lost, and the lock is not taken away."""
    repository = empty_repository(home / "backups" / "restic")
    first = backup.create()
    with locked_by_another(repository):
        with pytest.raises(ContractError, match="locked"):
            backup.create()
        assert len(list((repository / "locks").iterdir())) == 1
    assert [one.name for one in backup.backups()] == [first.backup.name]
    backup.verify(first.backup)
    assert backup.create().backup in backup.backups()


@contextlib.contextmanager
def locked_by_another(repository):
    """A process of restic's own that holds the repository for itself alone, stopped in the midst."""
    locks = repository / "locks"
    command = ["restic", "--repo", str(repository), "rebuild-index", "--read-all-packs"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not any(restic.DIGEST.match(path.name) for path in locks.iterdir()):  # others are being written
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.kill()
