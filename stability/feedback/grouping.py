"""Messages that say nearly the same at nearly the same time: one group, one answer."""

from __future__ import annotations

__all__ = ["group_messages"]

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer

from stability.schema import ContractError

ALIKE = 0.55  # cosine of letters' TF-IDF: a sentence with a word or two changed keeps more, two complaints have less
WITHIN = "24h"  # between neighbours of a group: the same words next week are about something else


def group_messages(frame: pd.DataFrame, *, alike: float = ALIKE, within: str = WITHIN) -> pd.Series:
    """Group near-duplicates by single linkage over letters, within a length of time.

    Parameters
    ----------
    frame : DataFrame
        `feedback_id`, `timestamp`, `text`.
    alike : float in (0, 1]
        Cosine from which two texts are alike.
    within : str
        How far apart two messages that are alike may lie.

    Returns
    -------
    Series of str
        Name of the group's first message, index as in `frame`; a message alone is its own group.

    Examples
    --------
    >>> stamps = pd.to_datetime(["2026-01-01T00:00Z", "2026-01-01T00:05Z", "2026-01-09T00:00Z"])
    >>> texts = ["Search is down again!", "search is down again", "Search is down again"]
    >>> frame = pd.DataFrame({"feedback_id": ["a", "b", "c"], "timestamp": stamps, "text": texts})
    >>> group_messages(frame).tolist()
    ['a', 'a', 'c']
    """
    if not 0 < alike <= 1:
        raise ContractError(column="alike", expected="more than 0, at most 1", got=repr(alike))
    stamps = frame["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    order = frame["timestamp"].argsort(kind="stable").to_numpy()
    ids, stamps = frame["feedback_id"].to_numpy()[order], stamps[order]
    root = np.arange(len(frame))
    if len(frame) > 1:
        try:
            learner = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
            rows = learner.fit_transform(frame["text"].fillna("").to_numpy()[order])
        except ValueError:  # no text has a letter
            return frame["feedback_id"].copy()
        width = pd.Timedelta(within).to_timedelta64()
        first = np.searchsorted(stamps, stamps - width)
        for k in range(1, len(frame)):
            if first[k] < k:
                close = np.flatnonzero((rows[first[k] : k] @ rows[k].T).toarray().ravel() >= alike) + first[k]
                if len(close):
                    least = min(_root(root, j) for j in close)
                    for j in [*close, k]:
                        root[_root(root, j)] = least
    named = np.array([ids[_root(root, k)] for k in range(len(frame))], dtype=object)
    return pd.Series(named, index=frame.index[order], dtype="str").reindex(frame.index)


def _root(root: np.ndarray, k: int) -> int:
    while root[k] != k:
        root[k] = root[root[k]]
        k = root[k]
    return int(k)
