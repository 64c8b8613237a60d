"""Plans of placement against every possible plan, and the reasons where there is none."""

import naive
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stability.availability.placement import place
from stability.schema import ContractError


def services(*rows):
    table = pd.DataFrame(rows, columns=["service", "replicas", "needed", "cpu", "memory"])
    return table.set_index("service")


def machines(*cpu, zones=None):
    made = pd.DataFrame({"cpu": cpu, "memory": 8.0}, index=pd.Index([f"n{k}" for k in range(len(cpu))], name="node"))
    return made if zones is None else made.assign(zone=zones)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.sampled_from([0.5, 1.0, 2.0])), min_size=1, max_size=3),
    st.lists(st.sampled_from([1.0, 2.0, 4.0]), min_size=1, max_size=3),
    st.booleans(),
)
def test_a_plan_is_found_exactly_where_one_exists_and_on_as_few_nodes(rows, cpu, separate):
    told = services(*((f"s{k}", many, min(need, many), size, 1.0) for k, (many, need, size) in enumerate(rows)))
    apart = [("s0", "s1")] if separate and len(rows) > 1 else []
    found = place(told, machines(*cpu), headroom=0.0, apart=apart)
    fewest = naive.fewest_nodes(rows, cpu, apart=bool(apart))
    assert found.feasible == (fewest is not None)
    assert bool(found.reasons) == (not found.feasible)
    assert found.plan["replicas"].groupby("service").sum().to_dict() == told["replicas"].to_dict()
    if found.feasible:
        assert (found.nodes["replicas"] > 0).sum() == fewest
        assert (found.nodes[["cpu", "memory"]] <= 1 + 1e-9).all(axis=None)


def test_headroom_stays_free_and_reasons_say_what_is_missing():
    told = services(("model", 2, 0, 2.0, 1.0))
    assert place(told, machines(4.0), headroom=0.0).feasible
    refused = place(told, machines(4.0), headroom=0.25)
    assert refused.reasons == ("n0: 1 more of cpu would be needed, with 25% of it kept free",)


def test_zones_are_lost_as_a_whole():
    told = services(("model", 3, 2, 1.0, 1.0))
    two = place(told, machines(4.0, 4.0, 4.0, zones=["a", "a", "b"]), spread="zone")
    assert not two.feasible
    assert "the loss of zone" in two.reasons[0]
    three = place(told, machines(4.0, 4.0, 4.0, zones=["a", "b", "c"]), spread="zone")
    assert three.feasible
    assert three.nodes["replicas"].tolist() == [1, 1, 1]


def test_services_that_may_not_meet():
    told = services(("a", 1, 0, 1.0, 1.0), ("b", 1, 0, 1.0, 1.0))
    assert place(told, machines(8.0), apart=[("a", "b")]).reasons == (
        "a and b would share n0; they need one more node between them",
    )
    assert (place(told, machines(8.0, 8.0), apart=[("a", "b")]).nodes["replicas"] == 1).all()
    with pytest.raises(ContractError, match="names of services"):
        place(told, machines(8.0), apart=[("a", "bb")])


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (services(("a", 1, 2, 1.0, 1.0)), "at most the replicas"),
        (services(("a", 1, 0, np.nan, 1.0)), "sizes from 0 up"),
        (services(("a", 1.5, 0, 1.0, 1.0)), "whole numbers"),
        (services(("a", 1, 0, 1.0, 1.0), ("a", 1, 0, 1.0, 1.0)), "names twice"),
        (services(("a", 1, 0, 1.0, 1.0)).drop(columns="cpu"), "without cpu"),
    ],
)
def test_services_that_are_none(told, said):
    with pytest.raises(ContractError, match=said):
        place(told, machines(8.0))


def test_a_service_cannot_be_kept_apart_from_itself_and_a_node_may_be_empty():
    told = services(("a", 1, 0, 1.0, 1.0))
    with pytest.raises(ContractError, match="a twice"):
        place(told, machines(8.0), apart=[("a", "a")])
    found = place(told, machines(8.0, 0.0))
    assert found.feasible
    assert found.nodes["cpu"].tolist() == [0.125, 0.0]
