"""The table of alarms moved by hand: each click is on the disk, filters choose, undo lets hold what held."""

import re
import sqlite3

import numpy as np
import pandas as pd
import pytest

from stability.adaptation.alarm_labels import AlarmLabels
from stability.plotting import plot_alarm
from stability.schema import validate
from stability.workbench.labeller import alarm_labeller

BEGIN = pd.Timestamp("2026-01-01T12:00", tz="UTC")


@pytest.fixture
def store(workbench, monkeypatch):
    monkeypatch.setenv("STABILITY_PSEUDONYM_KEY", "k" * 32)
    return AlarmLabels()


def alarms(count=7):
    rows = [
        {"alarm_id": f"novelty/web-{k % 2}/{k}", "entity": f"web-{k % 2}", "start": BEGIN + pd.Timedelta(minutes=k),
         "end": BEGIN + pd.Timedelta(minutes=k + 1), "detector": "novelty", "metrics": "load", "score": 5.0,
         "threshold": 4.0}
        for k in range(count)
    ]  # fmt: skip
    return validate(pd.DataFrame(rows), "alarms")


def panel():
    stamps = pd.date_range(BEGIN - pd.Timedelta("1h"), periods=90, freq="min", unit="us")
    index = pd.MultiIndex.from_product([["web-0"], stamps], names=["entity", "timestamp"])
    return pd.DataFrame({"load": np.arange(90.0), "none": np.nan}, index=index)


def inside(box, kind):
    """All widgets of a kind within a box, in the order in which Tab reaches them."""
    own = [box] if type(box).__name__ == kind else []
    return own + [one for child in getattr(box, "children", ()) for one in inside(child, kind)]


def button(box, text):
    return next(one for one in inside(box, "Button") if one.description == text or one.tooltip == text)


def said(box):
    return " ".join(re.sub("<[^>]*>", "", one.value) for one in inside(box, "HTML"))


def test_a_click_is_kept_at_once_and_taken_back(store):
    box = alarm_labeller(alarms())
    assert "0 of 7 labelled" in said(box)
    inside(box, "Text")[0].value = "a release <b>"
    button(box, "discard: novelty/web-0/0").click()
    assert AlarmLabels().current()[["entity", "label", "reason"]].to_numpy().tolist() == [
        ["web-0", "discarded", "a release <b>"]
    ]
    assert "1 of 7 labelled" in said(box)
    assert "over 4: load discarded (a release &lt;b&gt;)" in said(box)
    assert button(box, "discard: novelty/web-0/0").button_style == "danger"
    button(box, "confirm: novelty/web-0/0").click()
    assert "1 of 7 labelled" in said(box)
    button(box, "undo").click()
    assert store.current()["label"].tolist() == ["discarded"]
    button(box, "undo").click()
    assert "0 of 7 labelled" in said(box)
    assert button(box, "undo").disabled
    assert "0 of 7 labelled" in said(alarm_labeller(alarms())), "for who opens it anew, too"


def test_all_that_the_filters_show_are_labelled_and_only_these(store):
    box = alarm_labeller(alarms(), page=2)
    show, entity, detector = inside(box, "Dropdown")
    assert detector.layout.display == "none", "there is one"
    entity.value = "web-1"
    button(box, "discard all 3 shown").click()
    assert set(store.current()["entity"]) == {"web-1"}
    assert "3 of 7 labelled" in said(box)
    assert button(box, "discard all 0 shown").disabled
    entity.value = "all"
    button(box, "confirm all 4 shown").click()
    show.value = "discarded"
    assert button(box, "unsure all 3 shown").disabled is False
    button(box, "undo").click()
    button(box, "undo").click()
    assert "0 of 7 labelled" in said(box)


def test_the_next_page_leaves_no_alarm_out(store):
    box = alarm_labeller(alarms(), page=3)
    for turned in range(3):
        for one in [one for one in inside(box, "Button") if one.tooltip and one.tooltip.startswith("unsure: novelty")]:
            one.click()
        assert button(box, "next page").disabled == (turned == 2)
        button(box, "next page").click()
    assert "7 of 7 labelled" in said(box)


def test_what_the_store_does_not_take_is_told_and_not_shown(store, monkeypatch):
    box = alarm_labeller(alarms(), store=store)
    inside(box, "Text")[0].value = "x" * 2001
    button(box, "confirm: novelty/web-0/0").click()
    assert "Not kept: column 'reason': expected at most 2,000 characters" in said(box).replace("&#x27;", "'")
    assert "0 of 7 labelled" in said(box)
    inside(box, "Text")[0].value = ""
    with sqlite3.connect(store.path, isolation_level=None) as locker:
        monkeypatch.setattr("stability.adaptation.alarm_labels.WAIT", 0.1)
        locker.execute("begin exclusive")
        button(box, "confirm: novelty/web-0/0").click()
        assert "got database is locked" in said(box)
        locker.execute("rollback")
    locker.close()
    button(box, "confirm: novelty/web-0/0").click()
    assert "1 of 7 labelled" in said(box)
    assert "Not kept" not in said(box)


def test_nothing_to_label_and_nothing_to_draw(store):
    assert "0 of 0 labelled" in said(alarm_labeller(alarms(1).iloc[:0]))
    box = alarm_labeller(alarms(2), panel(), panel()["load"].rename("novelty"))
    pictures = [one.value for one in inside(box, "HTML") if "<img" in one.value]
    assert len(pictures) == 1, "of web-1 there is no telemetry"
    assert 'alt="web-0 around 2026-01-01 12:00"' in pictures[0]


def test_the_strip_shows_the_score_and_the_responsible_metrics_around_the_alarm():
    one = alarms(1).reset_index().iloc[0]
    axes = plot_alarm(one, panel(), panel()["load"].rename("novelty"), around=10)
    assert [ax.get_title(loc="left") for ax in axes] == ["novelty", "load"]
    assert len(axes[0].lines[0].get_xdata()) == 22, "ten rows before, two of the alarm, ten after"
    assert axes[0].lines[2].get_ydata()[0] == 4.0, "the threshold"
    assert "UTC" in axes[0].get_xlabel()
    assert len(plot_alarm(one, panel())) == 1
    assert len(plot_alarm(pd.Series({**one, "metrics": "none,other"}), panel())) == 0
