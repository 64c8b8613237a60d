"""Where tuning looks, walked over all predictors."""

import pytest

from stability.prediction.registry import KINDS
from stability.prediction.spaces import SPACES, Dimension, checked_space
from stability.schema import ContractError


@pytest.mark.parametrize("name", KINDS)
def test_every_predictor_has_a_space_whose_values_it_takes(name):
    make, space = KINDS[name], SPACES[name]
    if not space:
        with pytest.raises(ContractError, match="none"):
            checked_space(make, space, {})
        return
    defaults = checked_space(make, space, {})
    assert list(defaults) == [one.name for one in space]
    for one in space:
        for value in one.choices or (one.low, one.high):
            assert one.holds(value)
            assert make(**{one.name: value}).get_params(deep=False)[one.name] == value


def test_spaces_name_no_predictor_that_is_not_there():
    assert set(SPACES) == set(KINDS)


def test_a_dimension_holds_its_ends_and_nothing_else():
    whole, share = Dimension("leaf", 1, 8), Dimension("rate", 0.1, 0.5, log=True)
    assert [whole.holds(x) for x in (1, 8, 0, 9, 2.5, True, "2")] == [True, True, *[False] * 5]
    assert [share.holds(x) for x in (0.1, 0.5, 0.09, 1, None)] == [True, True, *[False] * 3]
    assert [Dimension("how", choices=("a", "b")).holds(x) for x in ("a", "c")] == [True, False]


def test_what_does_not_fit_is_refused():
    def make(*, leaf: int = 5, seed: int = 0):
        raise AssertionError

    wrong = {
        "leafs": [Dimension("leafs", 1, 9)],
        "same name twice": [Dimension("leaf", 1, 9), Dimension("leaf", 2, 9)],
        "default inside": [Dimension("leaf", 6, 9)],
        "a range": [Dimension("leaf", 9, 1)],
        "a range or": [Dimension("leaf", 0, 9, log=True)],
    }
    for said, space in wrong.items():
        with pytest.raises(ContractError, match=said):
            checked_space(make, space, {})
    with pytest.raises(ContractError, match="seed"):
        checked_space(make, [Dimension("leaf", 1, 9), Dimension("seed", 0, 9)], {"seed": 1})
    with pytest.raises(ContractError, match="sead"):
        checked_space(make, [Dimension("leaf", 1, 9)], {"sead": 1})
    assert checked_space(make, [Dimension("leaf", 1, 9)], {"seed": 1}) == {"leaf": 5}
