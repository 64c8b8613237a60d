"""`stability feedback evaluate`: judges labelled sets of others, refuses bad ones, tells no more than the file does."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from stability.evaluation import wilson_interval
from stability.feedback import evaluation, read_development
from stability.feedback.evaluation import held_out_predictions, judge, judge_personal, read_labelled
from stability.records.privacy import scrub_message
from stability.schema import ContractError

ROW = {
    "text": "I am Eleanor Whitcombe",
    "language": "en",
    "category": "other",
    "urgency": "low",
    "spans": '[[5, 22, "name"]]',
}


def written(tmp_path, *rows, **changed):
    path = tmp_path / "set.csv"
    pd.DataFrame([*rows, {**ROW, **changed}]).to_csv(path, index=False)
    return path


def test_a_set_is_read_and_its_spans_become_lists(tmp_path):
    frame = read_labelled(written(tmp_path, {**ROW, "spans": ""}))
    assert frame["marks"].tolist() == [[], [(5, 22, "name")]]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"category": "billling"}, "row 2, column 'category'.*did you mean 'billing'"),
        ({"urgency": "soon"}, "row 2, column 'urgency'"),
        ({"text": " "}, "row 2, column 'text'"),
        ({"language": ""}, "row 2, column 'language'"),
        ({"spans": "name"}, "a JSON list"),
        ({"spans": "[[1]]"}, "a JSON list"),
        ({"spans": "[[1.5, 3, \"name\"]]"}, "whole numbers"),
        ({"spans": "[[3, 1, \"name\"]]"}, "the text's length"),
        ({"spans": "[[0, 99, \"name\"]]"}, "22 characters"),
        ({"spans": "[" * 100_000}, "a JSON list"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_judged(tmp_path, changed, said):
    with pytest.raises(ContractError, match=said):
        read_labelled(written(tmp_path, ROW, **changed))


def test_files_that_cannot_be_judged(tmp_path):
    with pytest.raises(ContractError, match="a CSV file"):
        read_labelled(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00text")
    with pytest.raises(ContractError, match="UTF-8"):
        read_labelled(tmp_path / "bytes.csv")
    (tmp_path / "head.csv").write_text("text,language,category,urgency,spans\n")
    with pytest.raises(ContractError, match="a header alone"):
        read_labelled(tmp_path / "head.csv")
    (tmp_path / "other.csv").write_text("txt,language,category,urgency,spans\nx,en,other,low,\n")
    with pytest.raises(ContractError, match="did you mean 'txt'"):
        read_labelled(tmp_path / "other.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ContractError, match="with a header"):
        read_labelled(tmp_path / "empty.csv")


def test_macro_f1_is_that_of_scikit_learn_and_lies_in_its_interval():
    frame = read_development().iloc[::15].reset_index(drop=True)
    rng = np.random.default_rng(0)
    guess = frame["category"].where(rng.random(len(frame)) < 0.7, rng.permutation(frame["category"]))
    found = pd.DataFrame({"category": guess, "urgency": frame["urgency"], "sure": True})
    estimates = judge(frame, found).estimates
    mine = estimates["feedback.macro_f1"]
    assert mine.value == pytest.approx(f1_score(frame["category"], guess, average="macro"))
    assert mine.lo < mine.value < mine.hi
    assert estimates["feedback.urgency_macro_f1"].value == 1.0
    assert estimates["feedback.unsure_share"].value == 0.0
    for language in ("en", "zh"):
        rows = frame["language"] == language
        expected = f1_score(frame["category"][rows], guess[rows], average="macro")
        assert estimates[f"feedback.macro_f1_{language}"].value == pytest.approx(expected)


def test_a_miss_is_listed_by_its_place_and_what_is_wrongly_taken_counted():
    frame = pd.DataFrame(
        {
            "text": ["call 0161 496 0735 now", "the qzxv is mine", "by Eleanor Whitcombe"],
            "spans": ["[]", '[[4, 8, "name"]]', '[[3, 20, "name"]]'],
        }
    )
    found = judge_personal(frame)
    assert found.misses.to_dict("records") == [{"row": 2, "kind": "name", "start": 4, "end": 8, "covered": 0.0}]
    assert found.estimates["feedback.pii_recall"].value == 0.5
    letters = sum(map(str.isalnum, "call 0161 496 0735 now" + "the  is mine" + "by "))
    assert found.estimates["feedback.false_scrub_share"].value == pytest.approx(11 / letters)
    assert found.counts["feedback.falsely_scrubbed_messages"] == 1


def test_every_message_is_labelled_by_a_model_that_saw_nothing_of_its_author(monkeypatch):
    frame = read_development()
    frame = frame[frame["author"] <= 4].iloc[::4].reset_index(drop=True)
    seen = []

    class Noting(evaluation.FeedbackClassifier):
        def fit(self, texts, *rest, **more):
            self.known = set(texts)
            return super().fit(texts, *rest, **more)

        def predict(self, texts, **more):
            seen.append((self.known, set(texts)))
            return super().predict(texts, **more)

    monkeypatch.setattr(evaluation, "FeedbackClassifier", Noting)
    found, chosen = held_out_predictions(frame, folds=2)
    assert len(found) == len(frame)
    assert len(chosen) == 2
    author = dict(zip(frame["text"].map(scrub_message), frame["author"], strict=True))
    for known, asked in seen:
        assert not {author[text] for text in known} & {author[text] for text in asked}
    with pytest.raises(ContractError, match="two authors or more"):
        held_out_predictions(frame[frame["author"] == 1])


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.soak)])
def test_the_development_set_keeps_what_it_was_written_for(every):
    found = judge_personal(read_development().iloc[::every])
    assert found.estimates["feedback.pii_recall"].value >= 0.99, found.misses
    assert found.estimates["feedback.false_scrub_share"].value < 0.01
    assert json.loads(found.misses.to_json(orient="records")) == []


def test_spans_of_one_message_are_one_trial():
    three = "mail a@home.example or b@home.example or c@home.example"
    spans = json.dumps([[three.index(f"{c}@"), three.index(f"{c}@") + 14, "email"] for c in "abc"])
    few = pd.DataFrame({"text": [three] * 4, "spans": [spans] * 4})
    found = judge_personal(few)
    assert found.counts["feedback.pii_spans"] == 12
    assert found.estimates["feedback.pii_recall"] == wilson_interval(4, 4), "four messages tell less than twelve spans"
    mixed = pd.DataFrame({"text": [three, "the qzxv qzxv is mine"] * 6, "spans": [spans, '[[4, 8, "name"]]'] * 6})
    estimate = judge_personal(mixed).estimates["feedback.pii_recall"]
    assert estimate.value == 0.75
    apart = wilson_interval(18, 24)
    assert estimate.lo < apart.lo
    assert estimate.hi > apart.hi
    assert "lo" in judge_personal(mixed).estimates["feedback.false_scrub_share"]._fields


def test_a_span_without_letters_is_missed_where_it_stays(tmp_path):
    frame = pd.DataFrame({"text": ["it is \u2709\u260e here"], "spans": ['[[6, 8, "other"]]']})
    found = judge_personal(frame)
    assert found.counts["feedback.pii_missed"] == 1
    assert found.misses["covered"].tolist() == [0.0]
    with pytest.raises(ContractError, match="more than blanks"):
        read_labelled(written(tmp_path, ROW, spans='[[1, 2, "name"]]'))


def test_an_error_tells_nobody_what_was_marked(tmp_path):
    with pytest.raises(ContractError) as error:
        read_labelled(written(tmp_path, ROW, spans="Eleanor"))
    assert "Eleanor" not in str(error.value)
