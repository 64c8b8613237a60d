"""Templates of log lines: mined on history, never changed by what comes later, counted causally."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import drain

from stability import datasets
from stability.records import LogTemplates, template_counts
from stability.schema import ContractError, validate
from stability.simulate import lines


def table(messages, entities="a", step="1min"):
    stamps = pd.date_range("2026-01-01", periods=len(messages), freq=step, tz="UTC").as_unit("us")
    return pd.DataFrame({"timestamp": stamps, "entity": entities, "level": "INFO", "message": messages})


LINES = st.lists(
    st.lists(st.sampled_from(["user", "disk", "7", "a1", "full", "failed", "of", "<num>"]), min_size=1, max_size=5).map(
        " ".join
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=settings().max_examples // 3)
@given(LINES, st.integers(1, 40))
def test_the_future_changes_no_template_of_a_line(lines, cut):
    whole = LogTemplates().fit_assign(table(lines))
    part = LogTemplates().fit_assign(table(lines[:cut]))
    assert whole.tolist()[:cut] == part.tolist()


@given(LINES)
def test_equal_to_the_naive_twin(lines):
    templates = LogTemplates(children=1000)
    found = templates.fit_assign(table(lines)).tolist()
    expected, texts = drain([line.replace("7", "<num>") for line in lines], similarity=0.5, depth=2)
    assert found == [f"t{group + 1:03d}" for group in expected]
    assert templates.templates_["text"].tolist() == texts


def test_what_varies_is_masked_and_history_alone_decides():
    history = table(["job 17 of 0xff done in 3.5 ms", "job 4 of 0xfe done in 12 ms", "peer 10.0.0.1:80 lost", "a b"])
    templates = LogTemplates().fit(history)
    assert templates.templates_["text"].tolist() == ["job <num> of <hex> done in <num> ms", "peer <ip> lost", "a b"]
    before = templates.templates_.copy()
    later = table(["job 1 of 0x1 done in 1 ms", "never seen like this", "job 1 of 0x1 broke in 1 ms", None])
    assert templates.assign(later).tolist() == ["t001", "other", "other", "other"]
    pd.testing.assert_frame_equal(templates.templates_, before)
    assert templates.fitted_on_ == {"entities": ["a"], "until": "2026-01-01T00:03:00+00:00"}


def test_only_frequent_templates_have_a_count_of_their_own():
    templates = LogTemplates(most=1).fit(table(["x y", "x y", "z"]))
    assert templates.templates_["kept"].tolist() == [True, False]
    assert templates.assign(table(["z", "x y"])).tolist() == ["other", "t001"]


@settings(max_examples=settings().max_examples // 3)
@given(LINES, st.integers(1, 7))
def test_counts_are_those_of_a_loop_and_know_no_future(lines, step):
    logs = table(lines, entities=[f"e{n % 2}" for n in range(len(lines))], step="37s")
    templates = LogTemplates().fit(logs)
    counts = template_counts(logs, f"{step}min", templates)
    assert counts.attrs["fitted_on"] == templates.fitted_on_
    validate(counts, "telemetry")
    names, whose = templates.assign(logs).to_numpy(), logs["entity"].to_numpy()
    told = logs["timestamp"].to_numpy(dtype="datetime64[us]")
    for (entity, end), row in counts.iterrows():
        end = end.tz_localize(None).to_datetime64()
        inside = (whose == entity) & (told <= end) & (told > end - np.timedelta64(step, "m"))
        assert row["log_lines"] == inside.sum()
        for column in counts.columns[1:-1]:
            assert row[column] == (names[inside] == column.split("_")[1]).sum()
    half = logs.iloc[: len(logs) // 2]
    if len(half):
        past = template_counts(half, f"{step}min", templates)
        whole = past.index[past.index.get_level_values("timestamp") <= half["timestamp"].max()]
        np.testing.assert_array_equal(past.loc[whole], counts.loc[whole])


def test_a_fleets_lines_are_few_templates():
    logs = datasets.load("sample")["logs"]
    templates = LogTemplates().fit(logs)
    wordings = sum(len(one.texts) for one in lines.LINES)  # of the simulation; a few more tell of single moments
    assert len(templates.templates_) < 1.3 * wordings < len(logs) / 15
    assert (templates.assign(logs) == "other").mean() < 0.1  # rare ones of a single day


def test_what_cannot_be_done_is_told():
    with pytest.raises(ContractError, match="fit"):
        LogTemplates().assign(table(["x"]))
    with pytest.raises(ContractError, match="fit"):
        template_counts(table(["x"]), "1min", LogTemplates())
    with pytest.raises(ContractError, match="without any"):
        LogTemplates().fit(table([None]))
    with pytest.raises(ContractError, match="share"):
        LogTemplates(similarity=0)
    with pytest.raises(ContractError, match="most"):
        LogTemplates(most=0)
    fitted = LogTemplates().fit(table(["x"]))
    for step, said in [("soon", "length of time"), ("-1min", "length of time"), ("1us", "at most")]:
        with pytest.raises(ContractError, match=said):
            template_counts(table(["x"] * 3, step="1D"), step, fitted)
    with pytest.raises(ContractError, match="none"):
        template_counts(table([]), "1min", fitted)


@settings(max_examples=settings().max_examples // 3)
@given(LINES, LINES, st.integers(0, 40))
def test_learning_goes_on_where_it_stopped_and_again_after_a_night_on_disk(lines, later, cut):
    whole = LogTemplates(children=2).fit_assign(table(lines + later))
    first = LogTemplates(children=2).fit(table(lines))
    again = LogTemplates.from_dict(json.loads(json.dumps(first.to_dict())))
    pd.testing.assert_frame_equal(again.templates_, first.templates_)
    assert again.assign(table(later), every=True).tolist() == first.assign(table(later), every=True).tolist()
    parts = [again.go_on(table(part)) for part in (later[:cut], later[cut:]) if part]
    assert [name for part in parts for name in part] == whole.tolist()[len(lines) :]


def test_no_more_templates_than_wanted_are_told_apart():
    first = LogTemplates().fit(table(["disk full"]))
    found = first.go_on(table(["user a failed", "of a b c d", "user a broke", "disk full", "of a b c d"]), at_most=2)
    assert found.tolist() == ["t002", "other", "t002", "t001", "other"]
    assert len(first.templates_) == 2
    assert LogTemplates(most=1).fit(table(["a b", "a b", "c"])).assign(table(["c"]), every=True).tolist() == ["t002"]


def test_what_identifies_people_or_opens_doors_is_in_no_template():
    key = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT"
    told = [f"mail to {who} sent" for who in ("anna@example.org", "ben@example.org")]
    told += [f"login with password={word} refused" for word in ("hunter", "swordfish")] + [f"push by {key} done"]
    found = LogTemplates().fit(table(told))
    kept = json.dumps(found.to_dict())
    assert not any(word in kept for word in ("anna", "ben@", "hunter", "swordfish", key))
    later = table(
        ["mail to cleo@example.com sent", "login with password=12345 refused", "push by ghp_" + "c" * 30 + " done"]
    )
    assert found.assign(later).tolist() == ["t001", "t002", "t003"]
