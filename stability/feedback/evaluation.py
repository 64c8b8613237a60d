"""How well messages are classified and scrubbed: on any labelled set, and by nested folds on the development set."""

from __future__ import annotations

__all__ = ["Judgement", "held_out_predictions", "judge", "judge_personal", "read_labelled"]

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stability.evaluation import Estimate, bootstrap_interval, wilson_interval
from stability.evaluation.intervals import NotEnoughEvidence, wider
from stability.evaluation.resampling import ratio_of_sums
from stability.feedback.classification import FeedbackClassifier, group_folds
from stability.feedback.development import CATEGORIES, URGENCIES
from stability.feedback.lexicon import by_keywords
from stability.records.privacy import personal_spans, scrub_message
from stability.schema import ContractError, nearest

COLUMNS = ("text", "language", "category", "urgency", "spans")
LARGEST = 50_000_000  # bytes of a labelled set: what a person could have labelled in a lifetime
RESAMPLES = 1000


@dataclass(frozen=True)
class Judgement:
    """What came out.

    Parameters
    ----------
    estimates : mapping of str to Estimate
        ``feedback.macro_f1`` and the like, with their intervals.
    counts : mapping of str to int
        Messages, spans and misses.
    misses : DataFrame
        `row` (as a person counts), `kind`, `start`, `end`, `covered` (share of the span's letters and digits that were
        taken out): where the file's own span was missed, not what stands there.
    """

    estimates: Mapping[str, Estimate]
    counts: Mapping[str, int]
    misses: pd.DataFrame


def read_labelled(path: str | os.PathLike) -> pd.DataFrame:
    """Read a labelled set: CSV in UTF-8 with the columns text, language, category, urgency, spans.

    Parameters
    ----------
    path : path
        `spans` is a JSON list of [start, end, kind], characters from 0; empty or ``[]`` without personal data.

    Returns
    -------
    DataFrame
        Those columns as text, and `marks`: the spans as lists.

    Raises
    ------
    ContractError
        With row and column, for whatever cannot be judged.
    """
    path = Path(path)
    if not path.is_file():
        there = [file.name for file in path.parent.glob("*.csv")] if path.parent.is_dir() else []
        raise ContractError(file=path, expected="a CSV file", got="none", remedy=nearest(path.name, there))
    if path.stat().st_size > LARGEST:
        raise ContractError(file=path, expected=f"at most {LARGEST:,} bytes", got=f"{path.stat().st_size:,}")
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ContractError(file=path, expected="a CSV file in UTF-8 with a header", got=str(error)) from error
    for name in COLUMNS:
        if name not in frame:
            remedy = nearest(name, frame.columns)
            raise ContractError(
                file=path, column=name, expected=f"columns {', '.join(COLUMNS)}", got="none", remedy=remedy
            )
    if frame.empty:
        raise ContractError(file=path, expected="at least one message", got="a header alone")
    for name, known in (("category", CATEGORIES), ("urgency", URGENCIES)):
        frame[name] = frame[name].str.strip()
        for row in np.flatnonzero(~frame[name].isin(known))[:1]:
            got = frame[name].iloc[row]
            where = {"file": path, "row": int(row) + 1, "column": name}
            raise ContractError(**where, expected="one that there is", got=repr(got), remedy=nearest(got, known))
    for name in ("text", "language"):
        for row in np.flatnonzero(frame[name].str.strip() == "")[:1]:
            raise ContractError(file=path, row=int(row) + 1, column=name, expected="a text", got="an empty cell")
    marks = [
        _marks(cell, text, path, row)
        for row, (cell, text) in enumerate(zip(frame["spans"], frame["text"], strict=True), 1)
    ]
    return frame[list(COLUMNS)].assign(marks=marks)


def _marks(cell: str, text: str, path: Path, row: int) -> list[tuple[int, int, str]]:
    where = {"file": path, "row": row, "column": "spans"}
    expected = "a JSON list of [start, end, kind]"
    try:
        read = json.loads(cell) if cell.strip() else []
        marks = [(int(start), int(end), str(kind)) for start, end, kind in read]
        whole = all(type(start) is int and type(end) is int for start, end, _ in read)
    except (ValueError, TypeError, RecursionError) as error:
        raise ContractError(**where, expected=expected, got=f"{len(cell):,} other characters") from error
    if not whole:
        raise ContractError(**where, expected=f"{expected} with whole numbers", got="others")
    for start, end, kind in marks:
        if not 0 <= start < end <= len(text):
            got = f"[{start}, {end}, {kind!r}] in a text of {len(text):,} characters"
            raise ContractError(**where, expected="0 <= start < end <= the text's length", got=got)
        if not text[start:end].strip():
            raise ContractError(**where, expected="a span with more than blanks", got=f"[{start}, {end}, {kind!r}]")
    return marks


def judge(frame: pd.DataFrame, found: pd.DataFrame, *, groups: Sequence | None = None, seed: int = 0) -> Judgement:
    """Judge labels that were given to messages.

    Parameters
    ----------
    frame : DataFrame
        `text`, `language`, `category`, `urgency`, and `marks` (lists of spans) or `spans` (JSON).
    found : DataFrame
        `category`, `urgency`, `sure` for the same rows in the same order.
    groups : sequence, optional
        Which rows are drawn together in the bootstrap; each alone without it.
    seed : int

    Returns
    -------
    Judgement
        Macro F1 over the categories that occur, per language as well, of the keywords beside it; urgency; share that
        is unsure, accuracy where it is sure; and what `judge_personal` says.
    """
    units = pd.factorize(np.asarray(groups if groups is not None else np.arange(len(frame))))[0]
    words, hurry = by_keywords(frame["text"].tolist())
    parts = {"": np.ones(len(frame), bool)}
    parts |= {f"_{name}": (frame["language"] == name).to_numpy() for name in sorted(set(frame["language"]))}
    estimates: dict[str, Estimate] = {}
    for suffix, rows in parts.items():
        for name, column, labels in (
            (f"feedback.macro_f1{suffix}", "category", found["category"]),
            (f"feedback.keywords_macro_f1{suffix}", "category", words),
            (f"feedback.urgency_macro_f1{suffix}", "urgency", found["urgency"]),
            (f"feedback.keywords_urgency_macro_f1{suffix}", "urgency", hurry),
        ):
            estimates[name] = _macro_f1(frame[column].to_numpy()[rows], np.asarray(labels)[rows], units[rows], seed)
    right = (found["category"].to_numpy() == frame["category"].to_numpy()).astype(int)
    sure = found["sure"].to_numpy(dtype=bool)
    estimates["feedback.unsure_share"] = wilson_interval(int((~sure).sum()), len(sure))
    if sure.any():
        estimates["feedback.accuracy_where_sure"] = wilson_interval(int(right[sure].sum()), int(sure.sum()))
    personal = judge_personal(frame)
    return Judgement(
        {**estimates, **personal.estimates}, {"feedback.messages": len(frame), **personal.counts}, personal.misses
    )


def judge_personal(frame: pd.DataFrame) -> Judgement:
    """Judge what is taken out of messages against what is marked as personal in them.

    Parameters
    ----------
    frame : DataFrame
        `text`, `marks` or `spans`.

    Returns
    -------
    Judgement
        ``feedback.pii_recall``: share of the marked spans of which every letter and digit is taken out, whatever kind
        it is taken for (of a span without any: every character); ``feedback.pii_recall_<kind>``;
        ``feedback.false_scrub_share``: of the letters and digits that nobody marked, the share that is taken out too.
        What stands in one message is missed or taken together: intervals are those of a bootstrap over messages, and
        no narrower than Wilson's of as many trials as there are messages with such spans.
    """
    marks = frame["marks"] if "marks" in frame else frame["spans"].map(json.loads)
    spans_of: list[tuple[int, str, bool]] = []
    misses, unmarked, wrongly = [], [], []
    for row, (text, spans) in enumerate(zip(frame["text"], marks, strict=True), start=1):
        told = np.array([c.isalnum() for c in text], dtype=bool)
        taken, marked = np.zeros(len(text), bool), np.zeros(len(text), bool)
        for start, end, _ in personal_spans(text):
            taken[start:end] = True
        for start, end, kind in spans:
            marked[start:end] = True
            inside = told[start:end]
            covered = float(taken[start:end][inside if inside.any() else slice(None)].mean())
            spans_of.append((row, kind, covered == 1.0))
            if covered < 1.0:
                misses.append({"row": row, "kind": kind, "start": start, "end": end, "covered": covered})
        unmarked.append(int((told & ~marked).sum()))
        wrongly.append(int((told & ~marked & taken).sum()))
    found = pd.DataFrame(spans_of, columns=["row", "kind", "hit"])
    estimates = {"feedback.false_scrub_share": _share(np.array([wrongly, unmarked], dtype=float).T)}
    if len(found):
        estimates["feedback.pii_recall"] = _share_of_spans(found)
        estimates |= {f"feedback.pii_recall_{kind}": _share_of_spans(part) for kind, part in found.groupby("kind")}
    counts = {
        "feedback.pii_spans": len(found),
        "feedback.pii_missed": len(misses),
        "feedback.falsely_scrubbed_messages": int(np.count_nonzero(wrongly)),
    }
    return Judgement(estimates, counts, pd.DataFrame(misses, columns=["row", "kind", "start", "end", "covered"]))


def _share_of_spans(found: pd.DataFrame) -> Estimate:
    return _share(found.groupby("row")["hit"].agg(["sum", "size"]).to_numpy(dtype=float))


def _share(counts: np.ndarray) -> Estimate:
    """A share of what stands in messages, rows (how many, of how many), with messages as the units of its interval."""
    counts = counts[counts[:, 1] > 0]
    if not len(counts):
        return Estimate(*[float("nan")] * 3)
    part, whole = counts.sum(axis=0)
    plain = wilson_interval(part / whole * len(counts), len(counts))
    try:
        drawn = bootstrap_interval(ratio_of_sums, *counts.T, resamples=RESAMPLES, vectorized=True)
    except NotEnoughEvidence:
        return plain
    return wider(drawn, plain)


def held_out_predictions(frame: pd.DataFrame, *, folds: int = 5, seed: int = 0) -> tuple[pd.DataFrame, list[dict]]:
    """Label each message by a model that has seen no message of its author, neither when it learnt nor when it chose.

    Parameters
    ----------
    frame : DataFrame
        `text`, `category`, `urgency`, `author`.
    folds : int
        Outer folds, each of some authors; strength and temperature are chosen on inner ones, of authors as well.
    seed : int

    Returns
    -------
    found : DataFrame
        As `FeedbackClassifier.predict`, rows as in `frame`.
    chosen : list of dict
        `FeedbackClassifier.chosen_` of each outer fold.

    Raises
    ------
    ContractError
        For messages of fewer than two authors.
    """
    authors, parts, chosen = frame["author"].to_numpy(), [], []
    if len(set(authors)) < 2:
        raise ContractError(column="author", expected="two authors or more", got=str(len(set(authors))))
    clean = frame["text"].map(scrub_message).to_numpy(dtype=object)
    for train, test in group_folds(authors, min(folds, len(set(authors))), seed):
        known = frame.iloc[train]
        labels = known["category"], known["urgency"]
        model = FeedbackClassifier().fit(clean[train], *labels, known["author"], scrubbed=True)
        parts.append(model.predict(clean[test], scrubbed=True).set_axis(test))
        chosen.append(model.chosen_)
    return pd.concat(parts).sort_index().set_axis(frame.index), chosen


def _macro_f1(true: np.ndarray, found: np.ndarray, units: np.ndarray, seed: int) -> Estimate:
    """Macro F1 with the interval of a bootstrap over units; NaN where the cases are too few."""
    names = sorted(set(true))
    codes = {name: k for k, name in enumerate([*names, *sorted(set(found) - set(names))])}
    size = len(codes)
    ids, inverse = np.unique(units, return_inverse=True)
    tables = np.zeros((len(ids), size, size))  # confusions of each unit: a resample's are their sum
    np.add.at(tables, (inverse, [codes[t] for t in true], [codes[f] for f in found]), 1)

    def statistic(drawn: np.ndarray) -> np.ndarray:
        times = np.array([np.bincount(row, minlength=len(ids)) for row in drawn])
        table = (times @ tables.reshape(len(ids), -1)).reshape(-1, size, size)
        given, hit = table.sum(axis=2)[:, : len(names)], np.diagonal(table, axis1=1, axis2=2)[:, : len(names)]
        both = table.sum(axis=1)[:, : len(names)] + given
        each = np.divide(2 * hit, both, out=np.zeros(both.shape), where=given > 0)
        return each.sum(axis=1) / (given > 0).sum(axis=1)  # something always occurs

    try:
        return bootstrap_interval(statistic, np.arange(len(ids)), resamples=RESAMPLES, seed=seed, vectorized=True)
    except NotEnoughEvidence:
        return Estimate(*[float("nan")] * 3)
