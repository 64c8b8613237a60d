"""Whatever comes in: a clear error or a counted repair, in process and through the real command; nothing half-done."""

import warnings

import pytest
from bad_inputs import CASES, tree
from workbenches import CHECKOUT

from stability.schema import ContractError

LONGEST = 3_000  # characters of an error: more is a page, not an answer


def test_there_are_enough_and_each_has_its_own_name():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert len(names) >= 300


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_bad_input_is_an_error_that_helps_or_a_counted_repair(case, tmp_path, monkeypatch):
    monkeypatch.setenv("STABILITY_HOME", str(CHECKOUT))
    monkeypatch.chdir(tmp_path)
    call = case.prepare(tmp_path)
    before = tree(tmp_path)
    if case.repaired is not None:
        panel, report = call()
        counted = {name: count for name, count in report.counts.items() if count}
        assert counted == dict(case.repaired)
        assert len(panel)
        assert all(str(count) in str(report) for count in counted.values())
    elif case.answer is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            assert case.answer(call())
    else:
        with pytest.raises(ContractError) as caught:
            call()
        assert isinstance(caught.value, case.error)
        said = str(caught.value)
        for words in case.says:
            assert words in said, f"{said[:LONGEST]!r} does not say {words!r}"
        assert len(said) <= LONGEST
        assert "\n" not in said
    assert tree(tmp_path) == before, "something was written"
