"""Log lines such as nobody has seen before, or not for long."""

from __future__ import annotations

__all__ = ["NEW", "NewLines"]

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stability.detection.rows import moments_of
from stability.features.rolling import length_of
from stability.records import LogTemplates
from stability.records.templates import OTHER
from stability.schema import ContractError

NEW = "log_new"  # the kind of event that a new line is
MOST = 1000  # templates that are told apart among lines that history did not have


class NewLines:
    """Events of log lines whose template was first seen at most `fresh` ago, anywhere.

    Lines that no template of the history fits get templates of their own as they come, so a new release is new for
    `fresh`, and known then. In the first `fresh` of the history everything would be new, so nothing is.

    Parameters
    ----------
    fresh : str
        How long a template is new.

    Attributes
    ----------
    first_ : dict of str to int
        Microseconds since 1970 at which each template of the history was first seen.

    Examples
    --------
    >>> stamps = pd.date_range("2026-01-01", periods=4, freq="1h", tz="UTC")
    >>> messages = ["login of anna", "login of ben", "disk is full", "disk is full"]
    >>> logs = pd.DataFrame({"timestamp": stamps, "entity": "a", "level": "INFO", "message": messages})
    >>> new = NewLines("30min").fit(logs[:2], LogTemplates().fit(logs[:2])).begin()
    >>> new.take(logs)["timestamp"].dt.hour.tolist()
    [2]
    """

    def __init__(self, fresh: str) -> None:
        self.fresh, self._fresh = fresh, length_of(fresh)

    def fit(self, logs: pd.DataFrame, templates: LogTemplates) -> NewLines:
        """Learn when each template was first seen.

        Parameters
        ----------
        logs : DataFrame
            By contract; what `templates` was fitted on.
        templates : LogTemplates
            Fitted.

        Returns
        -------
        NewLines
            Itself.
        """
        self.templates_, moments = templates, moments_of(logs["timestamp"])
        self.first_ = pd.Series(moments).groupby(templates.assign(logs, every=True).to_numpy()).min().to_dict()
        self._from = int(moments.min()) + self._fresh
        return self

    def begin(self) -> NewLines:
        """Forget what came after the history; gives itself."""
        if not hasattr(self, "first_"):
            raise ContractError("NewLines has no history yet", remedy="call fit(logs, templates) first")
        settings = {name: getattr(self.templates_, name) for name in ("similarity", "depth", "children")}
        self._young, self._seen = LogTemplates(**settings), dict(self.first_)
        return self

    def take(self, logs: pd.DataFrame) -> pd.DataFrame:
        """Say which lines are new.

        Parameters
        ----------
        logs : DataFrame
            By contract, in time's order, and after those that were taken before. What is not later than the history
            does not change what is new.

        Returns
        -------
        DataFrame
            Columns entity, timestamp and name, as of `events_of`: a row for each new line.
        """
        logs = logs.sort_values("timestamp", kind="stable")
        names, moments = self.templates_.assign(logs, every=True).to_numpy(dtype=object), moments_of(logs["timestamp"])
        if (unknown := names == OTHER).any():
            names[unknown] = "young " + self._young.go_on(logs[unknown], at_most=MOST).to_numpy(dtype=object)
        new = np.zeros(len(logs), dtype=bool)
        for k, (name, moment) in enumerate(zip(names, moments.tolist(), strict=True)):
            first = self._seen.setdefault(name, moment)
            new[k] = name == f"young {OTHER}" or (first > self._from and 0 <= moment - first <= self._fresh)
        found = logs.loc[new, ["entity", "timestamp"]].assign(name=NEW)
        return found.reset_index(drop=True)

    # ---- kept ----------------------------------------------------------------------------------------------------
    def to_dict(self) -> dict[str, Any]:
        """Give what was learnt as numbers and text; the templates are kept by themselves."""
        return {"first": self.first_, "from": self._from}

    def restore(self, kept: Mapping[str, Any], templates: LogTemplates) -> NewLines:
        """Take what `to_dict` gave; gives itself."""
        self.templates_, self.first_, self._from = templates, dict(kept["first"]), int(kept["from"])
        return self
