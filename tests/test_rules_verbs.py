"""`stability rules check` and `export`: what they print, and the exit code that a cron job trusts."""

import sys
from dataclasses import dataclass

import pytest
from test_rules_checks import GUARD, rule, write

from stability import cli


@dataclass
class Done:
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def stability(monkeypatch, capsys):
    """Run the command line in this process: starting one for each call would take longer than the tests."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["stability", "rules", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Done(ended.value.code or 0, *capsys.readouterr())

    return run


def test_check_says_that_nothing_is_wrong_or_what(stability, tmp_path):
    done = stability("check", write(tmp_path, rule(), GUARD))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "2 rules: nothing is wrong; 2 expectations of unit tests hold.\n"
    done = stability("check", write(tmp_path, rule(annotations={}), GUARD, tests=()))
    assert done.returncode == 1
    assert f"{tmp_path / 'host.yaml'}:4: Busy: no annotation 'runbook' that says what to do" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(" errors in 2 rules.")


def test_check_against_a_dataset(stability, tmp_path):
    path = write(
        tmp_path, rule(expr="system_cpu_utilization_ratios > 0.8 or absent(system_cpu_utilization_ratios)"), tests=()
    )
    done = stability("check", path, "--dataset", "testbed")
    assert done.returncode == 1
    assert "is no metric of the dataset testbed: did you mean 'system_cpu_utilization_ratio'?" in done.stdout
    done = stability("check", path, "--dataset", "testbett")
    assert done.returncode == 2
    assert "did you mean 'testbed'" in done.stderr


def test_what_is_no_rule_file_is_a_sentence_and_2(stability, tmp_path):
    (tmp_path / "a.yaml").write_text("groups: [{name: a, rules: [{alert: A}]}]")
    for verb in (
        ("check", tmp_path),
        ("export", tmp_path, "--output", tmp_path / "out"),
        ("check", tmp_path / "no.yaml"),
    ):
        done = stability(*verb)
        assert done.returncode == 2
        assert done.stderr.startswith("stability: ")
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_export_prints_where_the_files_are(stability, tmp_path):
    done = stability("export", write(tmp_path / "in", rule(), GUARD), "--output", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(tmp_path / "out" / "host_test.yaml") in done.stdout.splitlines()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["host.yaml", "host_test.yaml"]
