"""Messages that say nearly the same at nearly the same time: one group, one notification, one answer."""

from __future__ import annotations

__all__ = ["ALIKE", "WITHIN", "group_messages"]

import functools

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.pipeline import Pipeline, make_pipeline

from stability.feedback.development import read_development
from stability.schema import ContractError

ALIKE = 0.55  # cosine of letters' TF-IDF: a sentence with a word or two changed keeps more, two complaints have less
WITHIN = "24h"  # of a group's first message: the same words next week are about something else
FEATURES = 2**18  # places for groups of letters: a day's messages have fewer kinds of them
BLOCK = 1000  # messages that are compared with all leaders at a time: what is held is no square of all messages


@functools.cache
def _measure() -> Pipeline:
    """How much each group of letters tells, as the development set knows it: what it never saw tells most."""
    letters = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), n_features=FEATURES, norm=None, alternate_sign=False
    )
    return make_pipeline(letters, TfidfTransformer(sublinear_tf=True)).fit(read_development()["text"])


def group_messages(
    frame: pd.DataFrame, leaders: pd.DataFrame | None = None, *, alike: float = ALIKE, within: str = WITHIN
) -> pd.Series:
    """Give each message the group of the nearest leader that is alike, or a group of its own, which it leads.

    Parameters
    ----------
    frame : DataFrame
        `feedback_id`, `timestamp`, `text`; a message with a `group_id` keeps it.
    leaders : DataFrame, optional
        Messages with the same columns that lead groups already, such as those that were grouped before.
    alike : float in (0, 1]
        Cosine from which two texts are alike.
    within : str
        How far apart a message and its leader may lie.

    Returns
    -------
    Series of str
        Name of the group's first message, index as in `frame`; a message alone is its own group.

    Notes
    -----
    What a text is compared by does not depend on the others, so that messages get the same groups whether they come
    one by one or all at once. Groups that chain neighbours (single linkage) find as many of the near-duplicates made
    from the development set, and join some texts that have nothing to do with each other: whoever wrote one of these
    would get the other's answer.

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
    if frame.empty:
        return pd.Series([], index=frame.index, dtype="str")
    own = frame.assign(place=range(len(frame))).sort_values("timestamp", kind="stable")
    known = own.head(0) if leaders is None else leaders[~leaders["feedback_id"].isin(set(own["feedback_id"]))]
    both = pd.concat([known[["feedback_id", "timestamp", "text"]], own], ignore_index=True)
    kept = both["group_id"] if "group_id" in both else pd.Series(None, index=both.index, dtype=object)
    names, kept = both["feedback_id"].to_numpy(), kept.tolist()
    stamps = both["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    rows, width = _measure().transform(both["text"].fillna("")), pd.Timedelta(within).to_timedelta64()
    leads, found = np.arange(len(both)) < len(known), names.copy()
    for begin in range(len(known), len(both), BLOCK):
        block = np.arange(begin, min(begin + BLOCK, len(both)))
        heads = np.flatnonzero(leads[:begin] & (stamps[:begin] >= stamps[begin] - width))
        against = np.concatenate([heads, block])
        near = rows[block] @ rows[against].T  # a message beside the leaders there are and all that come with it
        near.sort_indices()
        for k, row in zip(block, near, strict=True):
            if isinstance(kept[k], str):
                found[k], leads[k] = kept[k], kept[k] == names[k]
                continue
            places, cosines = against[row.indices], row.data.round(9)  # of two that say the same, the first one
            fits = (cosines >= alike) & leads[places] & (np.abs(stamps[places] - stamps[k]) <= width)
            leads[k] = not fits.any()
            found[k] = names[k] if leads[k] else names[places[fits][cosines[fits].argmax()]]
    groups = pd.Series(found[len(known) :], index=own["place"], dtype="str").sort_index()
    return groups.set_axis(frame.index)
