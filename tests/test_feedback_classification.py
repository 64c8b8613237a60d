"""Classification: keywords as the baseline, a linear model beside them that is saved and loaded without pickle."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from stability.feedback import read_development
from stability.feedback.classification import STRENGTHS, FeedbackClassifier, group_folds
from stability.feedback.development import CATEGORIES
from stability.feedback.lexicon import GROUPS, by_keywords, language_of, lexicon_counts, lexicon_file
from stability.feedback.model import model_folder
from stability.schema import ContractError


@pytest.fixture(scope="module")
def frame():
    return read_development()


@pytest.fixture(scope="module")
def fitted(frame):
    train, test = group_folds(frame["author"].to_numpy(), 5)[0]
    part = frame.iloc[train[::4]]  # a thousand are enough to know more than chance
    return FeedbackClassifier().fit(part["text"], part["category"], part["urgency"]), frame.iloc[test[::4]]


def test_the_model_knows_more_than_chance_and_its_probabilities_are_some(fitted):
    model, test = fitted
    found = model.predict(test["text"])
    assert f1_score(test["category"], found["category"], average="macro") > 0.75
    shares = found[[f"p_{name}" for name in CATEGORIES]].to_numpy()
    assert np.allclose(shares.sum(axis=1), 1.0)
    assert np.allclose(shares.max(axis=1), found["probability"])
    assert (found["sure"] == (found["probability"] >= 0.5)).all()
    right = found["category"].to_numpy() == test["category"].to_numpy()
    assert right[found["sure"]].mean() > right.mean() - 1e-9, "where it is sure it is right more often"


def test_saved_and_loaded_it_says_the_same(tmp_path, frame):
    part = frame.iloc[::40]
    model = FeedbackClassifier().fit(part["text"], part["category"], part["urgency"], part["author"])
    assert {strength for strength, _ in model.chosen_.values()} <= set(STRENGTHS)
    again = FeedbackClassifier.load(model.save(tmp_path / "model"))
    texts = frame["text"].iloc[1::40].tolist()
    pd.testing.assert_frame_equal(model.predict(texts), again.predict(texts))
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "weights.safetensors"]
    assert not {b"pickle", b"cos\nsystem"} & set((tmp_path / "model" / "weights.safetensors").read_bytes().split())


def test_no_name_of_a_person_is_in_the_vocabulary(tmp_path, fitted):
    model, _ = fitted
    notes = json.loads((model.save(tmp_path) / "model.json").read_text())
    words = set(notes["views"]["words"])
    assert "[" not in words
    assert "name" in words, "the placeholder"
    assert not {"lindqvist", "raghunathan", "galbraith", "whitcombe"} & words


def test_a_model_that_is_none_is_refused(tmp_path, fitted):
    with pytest.raises(ContractError, match="a classifier of messages"):
        FeedbackClassifier.load(tmp_path)
    folder = fitted[0].save(tmp_path / "model")
    notes = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(notes | {"format": 99}))
    with pytest.raises(ContractError, match="format 99"):
        FeedbackClassifier.load(folder)
    with pytest.raises(ContractError, match="at least two classes"):
        FeedbackClassifier().fit(["a", "b"], ["billing", "billing"], ["low", "high"])


def test_nothing_and_anything_is_classified(fitted):
    model, _ = fitted
    assert len(model.predict([])) == 0
    assert set(model.predict(["", " ", "\x00", "🙂" * 1000, "x" * 20_000])["category"]) <= set(CATEGORIES)


def test_groups_stay_in_one_fold():
    groups = np.repeat([f"g{k}" for k in range(17)], 2)
    folds = group_folds(groups, 5)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(34))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])


def test_keywords_count_their_own_language_alone():
    assert language_of("登录页按 Tab 先到帮助") == "zh"
    counts = lexicon_counts(["refund the invoice", "退款 refund"])
    assert counts[0, GROUPS.index("billing")] == 2
    assert counts[1, GROUPS.index("billing")] == 1
    assert by_keywords(["", "thank you, great"])[0].tolist() == ["other", "praise"]


def test_what_the_model_learns_from_names_its_folder(tmp_path, monkeypatch):
    words = lexicon_file().read_bytes()
    before = model_folder().name
    (tmp_path / "data" / "feedback").mkdir(parents=True)
    (tmp_path / "data" / "metrics.yaml").touch()
    monkeypatch.setenv("STABILITY_HOME", str(tmp_path))
    assert model_folder().name == before, "texts and words from beside the package"
    (tmp_path / "data" / "feedback" / "lexicon.yaml").write_bytes(words + b"# other\n")
    assert model_folder().name != before
