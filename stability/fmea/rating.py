"""What a person wrote and what the record shows, side by side: which ratings hold, and what would change them."""

from __future__ import annotations

__all__ = ["confront", "contradictions", "rated_only", "rated_table"]

from collections.abc import Mapping

import numpy as np
import pandas as pd

from stability.fmea.priority import RATINGS, action_priority, order, risk_number
from stability.fmea.scales import hold
from stability.fmea.worksheet import words_of
from stability.schema import ContractError, validate

HELD, RAISED, LOWERED, UNSEEN = "holds", "raised", "lowered", "no evidence"
EMPTY = pd.DataFrame(index=pd.Index([], name="failure_mode"))


def confront(
    worksheet: pd.DataFrame,
    evidence: Mapping[str, pd.DataFrame],
    *,
    before: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Put authored ratings beside those from evidence, and move only those that a bound contradicts.

    Parameters
    ----------
    worksheet : DataFrame, index failure_mode
        With `severity`, `occurrence`, `detection` (authored; NaN where nobody said), and `safety_floor` where there is.
    evidence : mapping of {'severity', 'occurrence', 'detection'} to DataFrame, index failure_mode
        From `severity`, `occurrence`, `detectability`: each with its rating's name, `_lo` and `_hi`. Modes that only
        the evidence knows are added.
    before : DataFrame, optional
        An earlier answer of this function: its ratings are what evidence has to contradict. Without, the authored ones.

    Returns
    -------
    DataFrame, index failure_mode, in the order of `order`
        For each rating: `<rating>_authored`, `<rating>_lo`, `<rating>_hi` (NaN without evidence), `<rating>` (that
        which stands now; `hold`) and `<rating>_verdict` ('holds', 'raised', 'lowered', 'no evidence', against the
        authored one). `action_priority_authored`, `action_priority`, `action_priority_worst` (at all upper bounds),
        `rpn` (of the ratings that stand), `contradictions` (how many ratings the evidence moved).

    Raises
    ------
    ContractError
        For an unknown rating in `evidence`.
    """
    if unknown := sorted(set(evidence) - set(RATINGS)):
        raise ContractError(column="evidence", expected=", ".join(RATINGS), got=unknown[0])
    modes = worksheet.index
    for one in evidence.values():
        modes = modes.union(one.index)
    table = pd.DataFrame(index=modes.rename("failure_mode"))
    floor = worksheet.get("safety_floor", pd.Series(dtype="float64")).reindex(modes).astype("float64")
    for rating in RATINGS:
        said = worksheet[rating].reindex(modes).astype("float64")
        told = evidence.get(rating, EMPTY).reindex(index=modes, columns=[f"{rating}_lo", f"{rating}_hi"])
        lo, hi = (told[f"{rating}{end}"].astype("float64") for end in ("_lo", "_hi"))
        if rating == "severity":
            said, lo, hi = (one.where(one.isna(), np.fmax(one, floor)) for one in (said, lo, hi))
        stood = said if before is None else before[rating].reindex(modes).astype("float64").fillna(said)
        now = hold(stood, lo, hi)
        table[f"{rating}_authored"], table[f"{rating}_lo"], table[f"{rating}_hi"] = said, lo, hi
        table[rating] = now
        table[f"{rating}_verdict"] = np.select(
            [lo.isna() & hi.isna(), said.notna() & (now > said), said.notna() & (now < said)],
            [UNSEEN, RAISED, LOWERED],
            HELD,
        )
    table["action_priority_authored"] = action_priority(*(table[f"{one}_authored"] for one in RATINGS))
    table["action_priority"] = action_priority(*(table[one] for one in RATINGS))
    worst = [np.fmax(table[one], table[f"{one}_hi"]) for one in RATINGS]
    table["action_priority_worst"] = action_priority(*worst)
    table["rpn"] = risk_number(*(table[one] for one in RATINGS))
    table["contradictions"] = sum(table[f"{one}_verdict"].isin([RAISED, LOWERED]).astype("int64") for one in RATINGS)
    names = [name for name in table if name.startswith("action_priority")]
    table[names] = table[names].replace("", np.nan)
    return order(table)


def contradictions(rated: pd.DataFrame) -> pd.DataFrame:
    """List each rating that the evidence contradicts.

    Parameters
    ----------
    rated : DataFrame
        From `confront`.

    Returns
    -------
    DataFrame
        One row a contradiction: `failure_mode`, `rating`, `authored`, `lo`, `hi`, `stands`, `said` (a sentence).
    """
    rows = []
    for rating in RATINGS:
        for mode, row in rated[rated[f"{rating}_verdict"].isin([RAISED, LOWERED])].iterrows():
            was, lo, hi, now = (row[f"{rating}{end}"] for end in ("_authored", "_lo", "_hi", ""))
            bounds = f"{lo:g} to {hi:g}" if lo < hi else f"{lo:g}"
            rows.append(
                {"failure_mode": mode, "rating": rating, "authored": was, "lo": lo, "hi": hi, "stands": now}
                | {"said": f"{mode}: {rating} {was:g} was written, the record says {bounds}: {now:g} stands"}
            )
    columns = ["failure_mode", "rating", "authored", "lo", "hi", "stands", "said"]
    return pd.DataFrame(rows, columns=columns)


def rated_only(evidence: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Give an empty worksheet for modes that nobody has rated, so that `confront` rates them from evidence alone."""
    modes = EMPTY.index
    for one in evidence.values():
        modes = modes.union(one.index)
    return pd.DataFrame(np.nan, index=modes.rename("failure_mode"), columns=list(RATINGS))


def rated_table(rated: pd.DataFrame, worksheet: pd.DataFrame | None = None) -> pd.DataFrame:
    """Make the contract's table `fmea`: what the knowledge graph, the repairer and the page read.

    Parameters
    ----------
    rated : DataFrame
        From `confront`. Where there is no evidence a rating has no bounds.
    worksheet : DataFrame, optional
        Whose words go along: effect, cause, controls (prevention, detection and rules), playbook.

    Returns
    -------
    DataFrame
        Table `fmea`, in the order of `rated`.
    """
    words = pd.DataFrame(index=rated.index, columns=["effect", "cause", "controls", "playbook"], dtype="object")
    if worksheet is not None:
        words.update(words_of(worksheet).reindex(rated.index))
    numbers = rated[[f"{one}{end}" for one in RATINGS for end in ("", "_lo", "_hi")]]
    table = pd.concat([words, numbers, rated[["rpn", "action_priority"]]], axis=1)
    return validate(table, "fmea").loc[rated.index]
