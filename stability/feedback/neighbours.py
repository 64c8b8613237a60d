"""Which group a new message joins: compared with those that are new with it and with the groups of the last day."""

from __future__ import annotations

__all__ = ["joined"]

import functools
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.pipeline import Pipeline, make_pipeline

from stability.feedback.development import read_development
from stability.feedback.grouping import ALIKE, WITHIN
from stability.feedback.lexicon import FILE
from stability.feedback.store import FeedbackStore
from stability.schema import home

FEATURES = 2**18  # places for groups of letters: a day's messages have fewer kinds of them
LEADERS = 500  # groups of the last day that are compared with: older ones are found by `clocks.regroup`


@functools.cache
def _measure() -> Pipeline:
    """How much each group of letters tells, as the development set knows it: what it never saw tells most."""
    letters = HashingVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), n_features=FEATURES, norm=None, alternate_sign=False
    )
    folder = None if (home() / FILE).is_file() else Path(__file__).resolve().parents[2] / FILE.parent
    return make_pipeline(letters, TfidfTransformer(sublinear_tf=True)).fit(read_development(folder)["text"])


def joined(new: pd.DataFrame, store: FeedbackStore, *, alike: float = ALIKE, within: str = WITHIN) -> pd.Series:
    """Give each new message the group of the nearest leader that is alike, or a group of its own, which it leads.

    Parameters
    ----------
    new : DataFrame
        As `FeedbackStore.frame`, the oldest first.
    store : FeedbackStore
        Has the leaders of groups that there are.
    alike : float in (0, 1]
        Cosine from which two texts are alike.
    within : str
        How far apart two messages that are alike may lie.

    Returns
    -------
    Series of str
        Name of the group's first message, index as in `new`; a group that a message has it keeps.
    """
    width = pd.Timedelta(within)
    known = store.leaders((new["timestamp"].min() - width).isoformat(), LEADERS)
    known = known[~known["feedback_id"].isin(set(new["feedback_id"]))]
    both = pd.concat([known, new], ignore_index=True)
    rows = _measure().transform(both["text"].fillna(""))
    near = rows[len(known) :] @ rows.T  # a message beside all leaders and all that are new with it
    stamps = both["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    names = both["feedback_id"].to_numpy()
    leads = np.arange(len(both)) < len(known)
    found = []
    for k, own in enumerate(new["group_id"], start=len(known)):
        if isinstance(own, str):
            found.append(own)
            leads[k] = own == names[k]
            continue
        row = near[k - len(known)]
        places = row.indices[(row.data >= alike) & leads[row.indices]]
        places = places[np.abs(stamps[places] - stamps[k]) <= width.to_timedelta64()]
        leads[k] = len(places) == 0
        found.append(names[k] if leads[k] else names[places[row[0, places].toarray().ravel().argmax()]])
    return pd.Series(found, index=new.index, dtype="str")
