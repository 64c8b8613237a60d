"""The watched service's own data: backed up whole, refused when damaged, the service started from them elsewhere."""

import json
import os
import sqlite3

import pytest
from backing import bare
from typer.testing import CliRunner

from stability.cli import app
from stability.schema import ContractError
from stability.testbed import recovery
from stability.testbed.observations import FILE
from stability.testbed.upkeep import back_up, differing, put_back, read_backup

ANSWERS = {"model-a": {0: (3, 0.5, "1.0"), 512: (1, 0.25, "1.0")}}


@pytest.fixture(autouse=True)
def workbench_of_its_own(tmp_path, monkeypatch):
    """A drill works in the workbench's folder."""
    monkeypatch.setenv("STABILITY_HOME", str(bare(tmp_path / "workbench")))


@pytest.fixture
def testbed(tmp_path):
    """The data of a testbed that does not run."""
    home = tmp_path / "testbed"
    for name, text in (("models/1.0.npz", "weights"), ("configuration/model-a.json", '{"version": "1.0"}')):
        (home / name).parent.mkdir(parents=True)
        (home / name).write_text(text)
    (home / "configuration" / ".model-a.json").write_text("a draft")
    (home / "store").mkdir()
    with sqlite3.connect(home / "store" / FILE) as store:
        store.execute("create table observations (block integer primary key, raw blob not null)")
        store.executemany("insert into observations values (?, ?)", [(n, b"x" * 100) for n in range(7)])
    store.close()
    return home


def test_what_was_backed_up_comes_back(testbed, tmp_path):
    told = back_up(testbed, tmp_path / "backup", ANSWERS)
    assert told == read_backup(tmp_path / "backup")
    assert (told.blocks, told.answers) == (7, ANSWERS)
    assert set(told.files) == {"models/1.0.npz", "configuration/model-a.json", f"store/{FILE}"}
    (testbed / "configuration" / "model-a.json").write_text("broken")
    (testbed / "models" / "1.0.npz").unlink()
    changed = ["configuration/model-a.json", "models/1.0.npz"]
    assert [name for name in differing(testbed, told) if FILE not in name] == changed, "a copy's bytes are its own"
    put_back(testbed, tmp_path / "backup")
    assert differing(testbed, told) == []
    put_back(tmp_path / "new", tmp_path / "backup")
    assert differing(tmp_path / "new", told) == []


@pytest.mark.parametrize("name", ["models/1.0.npz", "configuration/model-a.json", f"store/{FILE}", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_backup_puts_nothing_back(testbed, tmp_path, name, damage):
    back_up(testbed, tmp_path / "backup", ANSWERS)
    before = {path: path.read_bytes() for path in testbed.rglob("*") if path.is_file()}
    path = tmp_path / "backup" / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-2] if damage == "cut" else bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(ContractError, match="expected a backup"):
        put_back(testbed, tmp_path / "backup")
    assert {path: path.read_bytes() for path in testbed.rglob("*") if path.is_file()} == before
    done = recovery.drill(tmp_path / "backup", testbed)
    assert len(done.findings) == 1
    assert done.rto_s != done.rto_s


def test_a_manifest_names_nothing_outside(testbed, tmp_path):
    back_up(testbed, tmp_path / "backup")
    path = tmp_path / "backup" / "manifest.json"
    told = json.loads(path.read_text())
    (tmp_path / "evil").write_text("x")
    told["files"]["models/../../evil"] = told["files"]["models/1.0.npz"]
    path.write_text(json.dumps(told))
    with pytest.raises(ContractError, match=r"other content of models/\.\./\.\./evil"):
        put_back(testbed, tmp_path / "backup")
    assert (tmp_path / "evil").read_text() == "x"


class Cut(BaseException):
    """The power goes."""


def test_the_last_backup_stays_until_the_next_is_whole(testbed, tmp_path, monkeypatch):
    """Cut at each rename and each removal in turn: there is always a backup that is whole, or one that comes back."""
    first = back_up(testbed, tmp_path / "backup")
    rename, cut = os.replace, 0
    while True:
        (testbed / "configuration" / "model-a.json").write_text(f"number {cut}")
        left = iter(range(cut, -1, -1))

        def counted(self, target, left=left):
            if next(left) == 0:
                raise Cut
            rename(self, target)
            return target

        with monkeypatch.context() as patch:
            patch.setattr("pathlib.Path.replace", counted)
            try:
                back_up(testbed, tmp_path / "backup")
                break
            except Cut:
                cut += 1
        whole = [path for path in tmp_path.glob("*backup*") if not path.name.endswith(".part")]
        assert [read_backup(path) for path in whole] == [first]
        last = back_up(testbed, tmp_path / "backup")
        assert {path.name for path in tmp_path.glob("*backup*")} == {"backup"}
        first = last
    assert cut == 2


def test_without_a_testbed_there_is_nothing_to_drill(tmp_path):
    with pytest.raises(ContractError, match="stability testbed up"):
        recovery.drill(None, tmp_path / "testbed")


def test_at_the_terminal_a_drill_wants_a_backup(tmp_path):
    out = CliRunner().invoke(app, ["testbed", "drill", str(tmp_path / "none")])
    assert (out.exit_code, "expected a backup of the testbed" in out.output) == (1, True)
