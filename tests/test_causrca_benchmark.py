"""The causRCA benchmark: what a file lists must not matter, what comes later neither; and the numbers of others."""

import numpy as np
import pandas as pd
import pytest

from stability import datasets
from stability.knowledge import knowledge
from stability.localization import ConditionalLogit
from stability.localization.ancestry import SIGNS, ancestry
from stability.localization.behaviour import Behaviour, moves
from stability.schema import home

RUNS = ["probe/exp_4/run_1", "hydraulics/exp_18/run_1", "coolant/exp_35/run_1"]


@pytest.fixture(scope="module")
def lathe(data_mirror):
    tables = datasets.load("causrca", runs=[*RUNS, "normal/3*"])
    table = moves(tables["states"], tables["telemetry"])
    normal = table[~table["entity"].isin(RUNS)]
    names = pd.Index(sorted(set(table["name"])))
    alarms = names[names.str.contains("_A_[0-9]+$")]
    return tables, table, Behaviour(tables["topology"]).fit(normal), names, alarms


def evidence(lathe, run, table):
    tables, _, behaviour, names, alarms = lathe
    who = pd.MultiIndex.from_product([[run], names.difference(alarms)], names=["entity", "metric"])
    found = behaviour.score(table, tables["faults"].loc[run, "diagnosed_at"])
    return ancestry(who, found, alarms, knowledge("lathe", topology=tables["topology"]), "lathe")


def own_moves(lathe, run):
    table = lathe[1]
    return table[table["entity"] == run]


@pytest.mark.parametrize("run", RUNS)
def test_what_a_file_lists_changes_no_evidence(lathe, run):
    tables, table, _, names, _ = lathe
    at = tables["faults"].loc[run, "diagnosed_at"]
    own = own_moves(lathe, run)
    full = evidence(lathe, run, own)
    assert (full != 0).any(axis=None)
    known = own[own["timestamp"] <= at]
    said = known["value"].fillna(known["number"].astype(str))
    resting = said.groupby(known["name"]).nunique().loc[lambda n: n == 1].index
    dropped = own[~own["name"].isin(resting)]
    pd.testing.assert_frame_equal(evidence(lathe, run, dropped), full)
    # every variable that the file does not list, at rest, with values of other runs
    missing = table[table["name"].isin(names.difference(own["name"])) & ~table["name"].duplicated()]
    listed = pd.concat([own, missing.assign(entity=run, timestamp=own["timestamp"].min())])
    listed = listed.sort_values(["entity", "name", "timestamp"], kind="stable", ignore_index=True)
    assert listed["name"].nunique() == len(names)
    pd.testing.assert_frame_equal(evidence(lathe, run, listed), full)


@pytest.mark.parametrize("run", RUNS)
def test_nothing_after_the_diagnosis_is_read(lathe, run):
    own = own_moves(lathe, run)
    early = own[own["timestamp"] <= lathe[0]["faults"].loc[run, "diagnosed_at"]]
    assert len(early) < len(own)
    pd.testing.assert_frame_equal(evidence(lathe, run, early), evidence(lathe, run, own))


def test_two_sub_systems_teach_what_is_asked_about_the_third(lathe):
    faults = lathe[0]["faults"]
    known = {run: evidence(lathe, run, own_moves(lathe, run)) for run in RUNS}
    for run in RUNS:
        rows = [
            (known[other], known[other].index.get_loc((other, name)))
            for other in RUNS
            if other != run
            for name in faults.loc[other, "root_metrics"].split(",")
        ]
        ranker = ConditionalLogit(signs=SIGNS).fit(*map(list, zip(*rows, strict=True)))
        first = known[run].index[ranker.log_probabilities(known[run]).argmax()]
        assert first[1] in faults.loc[run, "root_metrics"].split(","), run


def test_published_numbers():
    peers = pd.read_csv(home() / "data" / "peers" / "causrca.csv")
    assert (peers.groupby(["method", "told"])["system"].nunique() == 3).all()
    assert peers[["top1", "all_first"]].apply(lambda c: c.between(0, 1)).all(axis=None)
    rows = peers.set_index(["method", "told", "system"]).sort_index()
    systems = ["probe", "coolant", "hydraulics"]
    blind = rows.loc["BARO", "nothing"]
    np.testing.assert_allclose(blind.loc[systems, "all_first"], [0, 0, 0.146], atol=5e-4)
    prio = rows.loc["CausalPrio + time recency", "sub-system's graph"]
    np.testing.assert_allclose(prio.loc[systems, "map3"], [0.583, 1, 0.744], atol=5e-4)
