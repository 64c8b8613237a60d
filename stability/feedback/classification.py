"""What a message is about and how urgent it is: letters, words and a lexicon, weighed by a linear model."""

from __future__ import annotations

__all__ = ["UNSURE", "FeedbackClassifier", "simulated_messages"]

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from stability.feedback.development import CATEGORIES, URGENCIES
from stability.feedback.lexicon import GROUPS, language_of, lexicon_counts
from stability.records.privacy import scrub_message
from stability.schema import ContractError, written_whole
from stability.simulate import phrases

#: Below this probability of the likeliest category a person should look: another one is then likelier than it.
UNSURE = 0.5
#: What the simulation calls its messages -> the categories here; its questions and wishes are about use.
SIMULATED = {
    "failed": "availability", "slow": "latency", "wrong_answer": "wrong_answer", "praise": "praise",
    "question": "usability", "feature_request": "usability", "billing": "billing", "off_topic": "other",
}  # fmt: skip
# Kinds of features: letters within words, words, and characters, which is what Chinese is made of.
VIEWS = {
    "letters": {"analyzer": "char_wb", "ngram_range": (2, 5)},
    "words": {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b|[\u4e00-\u9fff]"},
    "characters": {"analyzer": "char", "ngram_range": (1, 3)},
}
FORMAT = 1
# Each message is learnt from a second time, with this weight, as if the lexicon knew no word of it: others' words will
# be in it less often than ours, and letters must then be able to stand alone.
LETTERS = 0.3


class FeedbackClassifier:
    """Category and urgency of messages, with probabilities.

    Parameters
    ----------
    C : float
        Inverse strength of the ridge penalty of logistic regression.
    lexicon : float
        Weight of the lexicon's counts beside the TF-IDF of letters and words, rows of length 1; 0 leaves it out.
    joint : bool
        One model for both languages, or one a language.
    simulated : float
        Weight of a simulated message among the training data beside a written one; 0 leaves them out.

    Notes
    -----
    Texts are scrubbed before anything is learnt from them: a placeholder such as ``[card]`` is a word like others, a
    name is none. Probabilities are those of the penalized model, sharpened or flattened by one temperature that is
    found on inner folds (Guo et al. 2017, arXiv 1706.04599).
    """

    def __init__(self, *, C: float = 3.0, lexicon: float = 0.5, joint: bool = True, simulated: float = 0.1):
        self.C, self.lexicon, self.joint, self.simulated = C, lexicon, joint, simulated

    def fit(
        self,
        texts: Sequence[str],
        categories: Sequence[str],
        urgencies: Sequence[str],
        groups: Sequence[str] | None = None,
    ) -> FeedbackClassifier:
        """Learn from labelled messages.

        Parameters
        ----------
        texts, categories, urgencies : sequences of str, length n
        groups : sequence of str, optional
            Messages that belong together (parallel ones): with them the temperature is found on folds that keep them
            together; without, it stays 1.

        Raises
        ------
        ContractError
            With fewer than two categories or urgencies.
        """
        clean = np.array([scrub_message(text) for text in texts], dtype=object)
        labels = {"category": np.asarray(categories, dtype=object), "urgency": np.asarray(urgencies, dtype=object)}
        for name, values in labels.items():
            if len(set(values)) < 2:
                raise ContractError(column=name, expected="at least two classes", got=repr(sorted(set(values))))
        self.models_ = self._fitted(clean, labels)
        self.temperature_ = 1.0
        if groups is not None:
            self.temperature_ = self._temperature(clean, labels, np.asarray(groups))
        return self

    def predict(self, texts: Sequence[str], *, scrubbed: bool = False) -> pd.DataFrame:
        """Classify messages; they are scrubbed first, unless they are `scrubbed` already.

        Returns
        -------
        DataFrame
            `category`, `probability` (of it), `sure` (whether that is at least `UNSURE`), `urgency`,
            `urgency_probability`, and one column ``p_<category>`` a category; row k is text k.
        """
        clean = list(texts) if scrubbed else [scrub_message(text) for text in texts]
        return self._predicted(self.models_, clean, self.temperature_)

    def save(self, folder: str | os.PathLike) -> Path:
        """Write the model: vocabularies and settings as JSON, weights as safetensors; nothing is pickled."""
        folder, weights = Path(folder), {}
        notes = {"format": FORMAT, "temperature": self.temperature_, "settings": self._settings(), "models": {}}
        for language, model in self.models_.items():
            entry = notes["models"][language] = {"views": {}, "heads": {}}
            for name, view in model["views"].items():
                words = sorted(view.vocabulary_, key=view.vocabulary_.get)
                entry["views"][name] = words
                weights[f"{language}.{name}.idf"] = np.asarray(view.idf_)
            for name, head in model["heads"].items():
                entry["heads"][name] = [str(label) for label in head.classes_]
                weights[f"{language}.{name}.coef"] = np.ascontiguousarray(head.coef_)
                weights[f"{language}.{name}.intercept"] = np.asarray(head.intercept_)
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
            made = cls(**notes["settings"])
            made.temperature_, made.models_ = notes["temperature"], {}
            for language, entry in notes["models"].items():
                views, heads = {}, {}
                for name, words in entry["views"].items():
                    views[name] = _vectorizer(name, {word: k for k, word in enumerate(words)})
                    views[name].idf_ = weights[f"{language}.{name}.idf"]
                for name, classes in entry["heads"].items():
                    heads[name] = head = LogisticRegression()
                    head.classes_ = np.array(classes, dtype=object)
                    head.coef_ = weights[f"{language}.{name}.coef"]
                    head.intercept_ = weights[f"{language}.{name}.intercept"]
                made.models_[language] = {"views": views, "heads": heads}
        except Exception as error:  # safetensors raises a kind of its own, and a wrong file fails in many ways
            remedy = "train it again: stability feedback train"
            raise ContractError(
                file=folder, expected="a classifier of messages", got=str(error), remedy=remedy
            ) from error
        return made

    def _settings(self) -> dict:
        return {"C": self.C, "lexicon": self.lexicon, "joint": self.joint, "simulated": self.simulated}

    def _parts(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Model's name -> rows that it is for."""
        if self.joint:
            return {"all": np.arange(len(texts))}
        languages = np.array([language_of(text) for text in texts])
        return {language: np.flatnonzero(languages == language) for language in ("en", "zh")}

    def _fitted(self, texts: np.ndarray, labels: dict[str, np.ndarray]) -> dict:
        models = {}
        for name, rows in self._parts(texts).items():
            languages = ("en", "zh") if name == "all" else (name,)
            extra = simulated_messages(languages) if self.simulated else None
            more = [] if extra is None else extra["text"].tolist()
            known = texts[rows].tolist()
            views = {view: _vectorizer(view).fit([*known, *more]) for view in VIEWS}
            X, M = self._features(views, known), self._features(views, more) if more else None
            heads = {}
            for head, y in labels.items():
                y = y[rows]
                if len(set(y)) < 2:
                    got = f"only {', '.join(sorted(set(y)))} in {name}"
                    raise ContractError(column=head, expected="at least two classes in each language", got=got)
                counts = pd.Series(y).value_counts()
                weight = (len(y) / (len(counts) * counts[y].to_numpy())) ** 0.5
                blocks, answers, weights = [X], [y], [weight]
                if self.lexicon:
                    letters = X.copy()
                    letters.data[letters.indices >= X.shape[1] - 2 * len(GROUPS)] = 0.0
                    blocks, answers, weights = [X, letters], [y, y], [weight, LETTERS * weight]
                if head == "category" and M is not None:
                    blocks, answers = [*blocks, M], [*answers, extra["category"].to_numpy(dtype=object)]
                    weights = [*weights, np.full(M.shape[0], self.simulated)]
                learner = LogisticRegression(C=self.C, max_iter=400)
                heads[head] = learner.fit(
                    sparse.vstack(blocks).tocsr(), np.concatenate(answers), sample_weight=np.concatenate(weights)
                )
            models[name] = {"views": views, "heads": heads}
        return models

    def _features(self, views: dict[str, TfidfVectorizer], texts: Sequence[str]) -> sparse.csr_matrix:
        parts = [view.transform(texts) for view in views.values()]
        if self.lexicon:
            counts = lexicon_counts(texts)
            share = counts / np.maximum(counts[:, : len(CATEGORIES)].sum(axis=1, keepdims=True), 1.0)
            parts.append(sparse.csr_matrix(self.lexicon * np.hstack([np.minimum(counts, 3.0), 2.0 * share])))
        return sparse.hstack(parts).tocsr()

    def _logits(
        self,
        models: dict,
        texts: Sequence[str],
        head: str,
        classes: Sequence[str],
        features: dict[str, sparse.csr_matrix] | None = None,
    ) -> np.ndarray:
        features = {} if features is None else features  # of another head of the same models, if they are known
        logits = np.full((len(texts), len(classes)), -50.0)  # a class that a language never saw is out of question
        for name, rows in self._parts(texts).items():
            if len(rows):
                model = models[name]
                if name not in features:
                    features[name] = self._features(model["views"], [texts[k] for k in rows])
                fitted = model["heads"][head]
                scores = features[name] @ fitted.coef_.T + fitted.intercept_
                if scores.shape[1] == 1:
                    scores = np.hstack([-scores, scores]) / 2
                logits[np.ix_(rows, [list(classes).index(c) for c in fitted.classes_])] = scores
        return logits

    def _predicted(self, models: dict, texts: Sequence[str], temperature: float) -> pd.DataFrame:
        features: dict[str, sparse.csr_matrix] = {}
        p = _softmax(self._logits(models, texts, "category", CATEGORIES, features) / temperature)
        u = _softmax(self._logits(models, texts, "urgency", URGENCIES, features) / temperature)
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

    def _temperature(self, texts: np.ndarray, labels: dict[str, np.ndarray], groups: np.ndarray) -> float:
        """Find the temperature at which held-out labels are likeliest, on folds of groups."""
        logits = np.zeros((len(texts), len(CATEGORIES)))
        for train, test in group_folds(groups, 3):
            models = self._fitted(texts[train], {name: y[train] for name, y in labels.items()})
            logits[test] = self._logits(models, texts[test].tolist(), "category", CATEGORIES)
        true = np.array([CATEGORIES.index(label) for label in labels["category"]])
        grid = np.geomspace(0.2, 2.0, 31)
        losses = [-np.log(_softmax(logits / t)[np.arange(len(true)), true] + 1e-12).mean() for t in grid]
        return float(grid[int(np.argmin(losses))])


def group_folds(groups: np.ndarray, count: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split rows into folds that keep groups together: pairs of rows to train on and rows to test on."""
    names = np.unique(groups)
    fold = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % count, strict=True))
    of = np.array([fold[group] for group in groups])
    return [(np.flatnonzero(of != k), np.flatnonzero(of == k)) for k in range(count)]


def simulated_messages(languages: Sequence[str], each: int = 12, seed: int = 0) -> pd.DataFrame:
    """Write messages with the simulation's grammar, under the categories here.

    Parameters
    ----------
    languages : sequence of str
        Of ``en`` and ``zh``.
    each : int
        Messages a language and kind of the simulation.
    seed : int

    Returns
    -------
    DataFrame
        `text`, `category`.
    """
    rng = np.random.default_rng(seed)
    rows = [
        {"text": phrases.message(kind, language, rng), "category": category}
        for language in languages
        for kind, category in SIMULATED.items()
        for _ in range(each)
    ]
    return pd.DataFrame(rows).drop_duplicates("text", ignore_index=True)


def _vectorizer(name: str, vocabulary: dict[str, int] | None = None) -> TfidfVectorizer:
    least = 2 if vocabulary is None else 1
    return TfidfVectorizer(**VIEWS[name], min_df=least, sublinear_tf=True, lowercase=True, vocabulary=vocabulary)


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
