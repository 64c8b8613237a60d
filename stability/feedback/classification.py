"""What a message is about and how urgent it is: letters, words and a little lexicon, weighed by a linear model."""

from __future__ import annotations

__all__ = ["UNSURE", "FeedbackClassifier", "group_folds"]

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from stability.feedback.development import CATEGORIES, URGENCIES
from stability.feedback.lexicon import GROUPS, lexicon_counts
from stability.records.privacy import scrub_message
from stability.schema import ContractError, written_whole

#: Below this probability of the likeliest category a person should look: another one is then likelier than it.
UNSURE = 0.5
# Kinds of features: letters within words, words, and characters, which is what Chinese is made of.
VIEWS = {
    "letters": {"analyzer": "char_wb", "ngram_range": (2, 5)},
    "words": {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b|[\u4e00-\u9fff]"},
    "characters": {"analyzer": "char", "ngram_range": (1, 3)},
}
HEADS = {"category": CATEGORIES, "urgency": URGENCIES}
LEXICON = 0.05  # weight of the lexicon's counts beside the TF-IDF of each view, rows of length 1
STRENGTHS = (0.1, 0.3, 1.0)
FOLDS = 3
FORMAT = 2


class FeedbackClassifier:
    """Category and urgency of messages, with probabilities.

    Parameters
    ----------
    strengths : sequence of float
        Inverse strengths of the penalty of the support vector machines, to choose from on inner folds; without groups
        the middle one is taken.

    Attributes
    ----------
    chosen_ : dict of str to (float, float)
        Strength and temperature of each head, category and urgency.

    Notes
    -----
    TF-IDF of character n-grams and words, and for each class a linear support vector machine against all others. Texts
    are scrubbed before anything is learnt from them: a placeholder such as ``[card]`` is a word like others, a name is
    none. Margins become probabilities by a softmax with one temperature a head, under which held-out labels are
    likeliest (Guo et al. 2017, arXiv 1706.04599). Words that somebody chose for a category weigh little: ten times as
    much made it worse on messages of authors who had not chosen them.
    """

    def __init__(self, *, strengths: Sequence[float] = STRENGTHS):
        self.strengths = tuple(strengths)

    def fit(
        self,
        texts: Sequence[str],
        categories: Sequence[str],
        urgencies: Sequence[str],
        groups: Sequence[str] | None = None,
        *,
        scrubbed: bool = False,
    ) -> FeedbackClassifier:
        """Learn from labelled messages.

        Parameters
        ----------
        texts, categories, urgencies : sequences of str, length n
        groups : sequence of str, optional
            Messages that belong together, such as those of an author: strength and temperature are found on folds that
            keep them together; without groups the temperature stays 1.
        scrubbed : bool
            Whether the texts are scrubbed already.

        Raises
        ------
        ContractError
            With fewer than two categories or urgencies.
        """
        clean = np.array(texts if scrubbed else [scrub_message(text) for text in texts], dtype=object)
        labels = {"category": np.asarray(categories, dtype=object), "urgency": np.asarray(urgencies, dtype=object)}
        for name, values in labels.items():
            if len(set(values)) < 2:
                raise ContractError(column=name, expected="at least two classes", got=repr(sorted(set(values))))
        self.chosen_ = dict.fromkeys(HEADS, (self.strengths[len(self.strengths) // 2], 1.0))
        if groups is not None and len(set(groups)) >= FOLDS:
            self.chosen_ = self._choice(clean, labels, np.asarray(groups))
        self.views_ = _views(clean)
        X = _features(self.views_, clean)
        self.heads_ = {head: _head(X, y, self.chosen_[head][0]) for head, y in labels.items()}
        return self

    def predict(self, texts: Sequence[str], *, scrubbed: bool = False) -> pd.DataFrame:
        """Classify messages; they are scrubbed first, unless they are `scrubbed` already.

        Returns
        -------
        DataFrame
            `category`, `probability` (of it), `sure` (whether that is at least `UNSURE`), `urgency`,
            `urgency_probability`, and one column ``p_<category>`` a category; row k is text k.
        """
        X = _features(self.views_, list(texts) if scrubbed else [scrub_message(text) for text in texts])
        p, u = (_softmax(_logits(X, self.heads_[head], known) / self.chosen_[head][1]) for head, known in HEADS.items())
        done = pd.DataFrame(
            {
                "category": np.array(CATEGORIES, dtype=object)[p.argmax(axis=1)],
                "probability": p.max(axis=1),
                "sure": p.max(axis=1) >= UNSURE,
                "urgency": np.array(URGENCIES, dtype=object)[u.argmax(axis=1)],
                "urgency_probability": u.max(axis=1),
            }
        )
        return done.assign(**{f"p_{name}": p[:, k] for k, name in enumerate(CATEGORIES)})

    def save(self, folder: str | os.PathLike) -> Path:
        """Write the model: vocabularies and settings as JSON, weights as safetensors; nothing is pickled."""
        folder, weights = Path(folder), {}
        notes = {"format": FORMAT, "strengths": self.strengths, "chosen": self.chosen_, "views": {}, "heads": {}}
        for name, view in self.views_.items():
            notes["views"][name] = sorted(view.vocabulary_, key=view.vocabulary_.get)
            weights[f"{name}.idf"] = np.asarray(view.idf_)
        for name, (classes, coef, intercept) in self.heads_.items():
            notes["heads"][name] = list(classes)
            weights[f"{name}.coef"], weights[f"{name}.intercept"] = coef, intercept
        with written_whole(folder / "weights.safetensors") as file:
            file.write(save(weights))
        with written_whole(folder / "model.json") as file:
            file.write(json.dumps(notes, ensure_ascii=False).encode())
        return folder

    @classmethod
    def load(cls, folder: str | os.PathLike) -> FeedbackClassifier:
        """Read what `save` wrote.

        Raises
        ------
        ContractError
            For a folder without a model, or with another form.
        """
        folder = Path(folder)
        try:
            notes = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            weights = load_file(folder / "weights.safetensors")
            if notes["format"] != FORMAT:
                raise ValueError(f"format {notes['format']}")
            made = cls(strengths=notes["strengths"])
            made.chosen_ = {head: (float(c), float(t)) for head, (c, t) in notes["chosen"].items()}
            made.views_ = {}
            for name, words in notes["views"].items():
                made.views_[name] = view = _vectorizer(name, {word: k for k, word in enumerate(words)})
                view.idf_ = weights[f"{name}.idf"]
            made.heads_ = {
                name: (tuple(classes), weights[f"{name}.coef"], weights[f"{name}.intercept"])
                for name, classes in notes["heads"].items()
            }
        except Exception as error:  # safetensors raises a kind of its own, and a wrong file fails in many ways
            remedy = "train it again: stability feedback train"
            raise ContractError(
                file=folder, expected="a classifier of messages", got=str(error), remedy=remedy
            ) from error
        return made

    def _choice(
        self, texts: np.ndarray, labels: Mapping[str, np.ndarray], groups: np.ndarray
    ) -> dict[str, tuple[float, float]]:
        """Find strength and temperature of each head under which labels of folds that were held out are likeliest."""
        shape = {head: (len(self.strengths), len(texts), len(known)) for head, known in HEADS.items()}
        logits = {head: np.zeros(size) for head, size in shape.items()}
        for train, test in group_folds(groups, FOLDS):
            views = _views(texts[train])
            X, held = _features(views, texts[train]), _features(views, texts[test])
            for head, known in HEADS.items():
                if len(set(labels[head][train])) < 2:
                    continue  # of such a fold nothing can be learnt: each class is as likely
                for k, strength in enumerate(self.strengths):
                    logits[head][k, test] = _logits(held, _head(X, labels[head][train], strength), known)
        found = {}
        for head, known in HEADS.items():
            true = np.array([known.index(label) for label in labels[head]])
            losses = {
                (strength, float(t)): -np.log(_softmax(scores / t)[np.arange(len(true)), true] + 1e-12).mean()
                for strength, scores in zip(self.strengths, logits[head], strict=True)
                for t in np.geomspace(0.1, 2.0, 31)
            }
            found[head] = min(losses, key=losses.get)
        return found


Head = tuple[tuple[str, ...], np.ndarray, np.ndarray]  # classes, weights of each, shift of each


def _views(texts: Sequence[str]) -> dict[str, TfidfVectorizer]:
    return {name: _vectorizer(name).fit(texts) for name in VIEWS}


def _features(views: Mapping[str, TfidfVectorizer], texts: Sequence[str]) -> sparse.csr_matrix:
    if not len(texts):  # which scikit-learn refuses
        return sparse.csr_matrix((0, 2 * len(GROUPS) + sum(len(view.vocabulary_) for view in views.values())))
    counts = lexicon_counts(texts)
    share = counts / np.maximum(counts[:, : len(CATEGORIES)].sum(axis=1, keepdims=True), 1.0)
    words = sparse.csr_matrix(LEXICON * np.hstack([np.minimum(counts, 3.0), 2.0 * share]))
    return sparse.hstack([*(view.transform(texts) for view in views.values()), words]).tocsr()


def _head(X: sparse.csr_matrix, labels: np.ndarray, strength: float) -> Head:
    """A machine a class; rare classes weigh more, by the root of how rare they are."""
    counts = pd.Series(labels).value_counts()
    weight = ((len(labels) / (len(counts) * counts)) ** 0.5).to_dict()
    learnt = LinearSVC(C=strength, class_weight=weight, random_state=0).fit(X, labels)
    coef, shift = learnt.coef_, learnt.intercept_
    if len(learnt.classes_) == 2:
        coef, shift = np.vstack([-coef, coef]), np.concatenate([-shift, shift])
    return tuple(map(str, learnt.classes_)), np.ascontiguousarray(coef, dtype="float32"), shift


def _logits(X: sparse.csr_matrix, head: Head, known: Sequence[str]) -> np.ndarray:
    classes, coef, shift = head
    found = np.full((X.shape[0], len(known)), -50.0)  # a class that was never seen is out of question
    found[:, [known.index(name) for name in classes]] = X @ coef.T + shift
    return found


def group_folds(groups: np.ndarray, count: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split rows into folds that keep groups together: pairs of rows to train on and rows to test on."""
    names = np.unique(groups)
    fold = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % count, strict=True))
    of = np.array([fold[group] for group in groups])
    return [(np.flatnonzero(of != k), np.flatnonzero(of == k)) for k in range(count)]


def _vectorizer(name: str, vocabulary: dict[str, int] | None = None) -> TfidfVectorizer:
    least = 2 if vocabulary is None else 1
    return TfidfVectorizer(**VIEWS[name], min_df=least, sublinear_tf=True, lowercase=True, vocabulary=vocabulary)


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
