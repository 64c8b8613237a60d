"""Availability of a whole from its parts: in series, in parallel, k of n; a part may stand in several places."""

from __future__ import annotations

__all__ = ["Structure", "one_more", "read_structure"]

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stability.evaluation import Estimate
from stability.schema import ContractError, load_yaml, nearest

SHARED = 12  # parts that stand in several places: each doubles the work
DEEPEST = 20
CAUSE, FELT = "(common cause)", " (felt)"  # names of parts that stand for what no replica helps against
LARGEST = 1_000_000  # bytes of a file
MONTH = 30 * 86_400.0


@dataclass(frozen=True)
class Structure:
    """What has to be up for the whole to be up.

    Parameters
    ----------
    part : str
        Name of a part; empty for a group.
    k : int
        How many of the members have to be up: all of them in series, one in parallel.
    members : tuple of Structure
    name : str
        Of a group.
    """

    part: str = ""
    k: int = 1
    members: tuple[Structure, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        whole = isinstance(self.k, int) and not isinstance(self.k, bool)
        if (
            bool(self.part) == bool(self.members)
            or not whole
            or (self.members and not 1 <= self.k <= len(self.members))
        ):
            got = f"part {self.part!r}, k = {self.k!r} of {len(self.members)} members"
            raise ContractError(column="members", expected="a part, or k from 1 to the number of members", got=got)

    def parts(self) -> list[str]:
        """Names of all parts, once each, as they come."""
        return list(dict.fromkeys(self._leaves()))

    def _leaves(self) -> list[str]:
        return [self.part] if self.part else [name for one in self.members for name in one._leaves()]

    def availability(self, parts: Mapping[str, float | np.ndarray]) -> float | np.ndarray:
        """Combine the availabilities of parts that fail independently of each other.

        Parameters
        ----------
        parts : mapping of str to float or array
            Availability of each part in [0, 1]; arrays of draws give an array.

        Returns
        -------
        float or array of float64

        Raises
        ------
        ContractError
            A part without a value, or more than twelve parts that stand in several places.

        Notes
        -----
        A part in several places is up in all of them or in none: the whole is computed for both and weighed (Shannon's
        expansion), which multiplying through would get wrong.

        Examples
        --------
        >>> two = Structure(k=1, members=(Structure("a"), Structure("b")))
        >>> whole = Structure(k=2, members=(two, Structure("store")))
        >>> round(whole.availability({"a": 0.9, "b": 0.9, "store": 0.99}), 4)
        0.9801
        """
        missing = next((name for name in self.parts() if name not in parts), None)
        if missing is not None:
            raise ContractError(column="parts", expected=f"an availability of {missing}", got=nearest(missing, parts))
        for name in self.parts():
            value = np.asarray(parts[name], dtype=float)
            if not ((value >= 0) & (value <= 1)).all():
                raise ContractError(column=name, expected="an availability between 0 and 1", got=f"{value}")
        shared = [name for name, times in Counter(self._leaves()).items() if times > 1]
        if len(shared) > SHARED:
            raise ContractError(expected=f"at most {SHARED} parts that stand in several places", got=len(shared))
        whole = 0.0
        for state in itertools.product((0.0, 1.0), repeat=len(shared)):
            weight = 1.0
            for name, up in zip(shared, state, strict=True):
                weight = weight * (parts[name] if up else 1 - np.asarray(parts[name], dtype=float))
            whole = whole + weight * self._up(dict(parts) | dict(zip(shared, state, strict=True)))
        return float(whole) if np.ndim(whole) == 0 else whole

    def _up(self, parts: Mapping[str, Any]) -> Any:
        if self.part:
            return parts[self.part]
        # chances[j]: that j of the members so far are up
        chances: list[Any] = [1.0]
        for one in self.members:
            up = one._up(parts)
            chances = [
                (chances[j] * (1 - up) if j < len(chances) else 0.0) + (chances[j - 1] * up if j else 0.0)
                for j in range(len(chances) + 1)
            ]
        return sum(chances[self.k :])

    def gains(self, parts: Mapping[str, float]) -> pd.DataFrame:
        """Tell how much of the whole's downtime is due to each part.

        Returns
        -------
        DataFrame, index part
            `availability`, `birnbaum` (by how much the whole's availability changes with the part's), `perfect` (what
            the whole would gain if the part never failed); the largest gain first.

        References
        ----------
        Birnbaum (1969), On the importance of different components in a multicomponent system.

        Examples
        --------
        >>> line = Structure(k=2, members=(Structure("a"), Structure("b")))
        >>> line.gains({"a": 0.9, "b": 0.99})["perfect"].round(3).to_dict()
        {'a': 0.099, 'b': 0.009}
        """
        rows = {}
        for name in self.parts():
            up, down = (self.availability({**parts, name: value}) for value in (1.0, 0.0))
            rows[name] = (parts[name], up - down, (up - down) * (1 - parts[name]))
        table = pd.DataFrame.from_dict(rows, orient="index", columns=["availability", "birnbaum", "perfect"])
        return table.rename_axis("part").sort_values("perfect", ascending=False, kind="stable")

    def groups(self) -> list[Structure]:
        """All groups of parts alone that may be made larger, as they come; one that stands in several places once."""
        if self.part:
            return []
        own = [self] if all(one.part for one in self.members) and self.k < len(self.members) else []
        return list(dict.fromkeys(own + [found for one in self.members for found in one.groups()]))

    def lone(self) -> list[Structure]:
        """Parts that stand in no group that may be made larger, once each, as they come."""
        grouped = {one.part for group in self.groups() for one in group.members}
        return [Structure(name) for name in self.parts() if name not in grouped]


def one_more(
    whole: Structure,
    parts: Mapping[str, float | np.ndarray],
    *,
    common: float = 0.0,
    felt: float = 0.0,
    singles: bool = False,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Tell what one more replica of each group would buy.

    Parameters
    ----------
    whole : Structure
    parts : mapping of str to float or array
        Availability of each part; draws of them (one shape for all) give intervals.
    common : float in [0, 1]
        Share of a replica's downtime that befalls all of its group at once (a bad release, a lost power line), which
        no replica helps against.
    felt : float in [0, 1]
        Share of the rest of a replica's downtime that users feel although others are up, since nobody takes it out of
        service: imperfect coverage. Each further replica brings its own; `share_felt` measures it.
    singles : bool
        Whether a second one of each part that stands alone is priced, too, as if either could do its work.
    confidence : float in (0, 1)

    Returns
    -------
    DataFrame, index group
        `now`, `then` (availability of the whole with the group as it is and with one more like its mean member),
        `seconds_saved` of 30 days with `lo` and `hi` (equal without draws).

    References
    ----------
    Fleming (1975), the beta-factor model of common cause failures; NUREG/CR-4780. Arnold (1973), The concept of
    coverage and its effect on the reliability model of a repairable system, doi 10.1109/T-C.1973.223703.

    Examples
    --------
    >>> two = Structure(k=1, members=(Structure("a"), Structure("b")), name="models")
    >>> bought = one_more(two, {"a": 0.99, "b": 0.99})
    >>> bought[["now", "then", "seconds_saved"]].round(6).iloc[0].tolist()
    [0.9999, 0.999999, 256.608]
    >>> one_more(two, {"a": 0.99, "b": 0.99}, common=0.1)["seconds_saved"].round(1).tolist()
    [208.3]
    >>> one_more(two, {"a": 0.99, "b": 0.99}, felt=0.5)["seconds_saved"].round(-2).tolist()  # a third one hurts
    [-12800.0]
    """
    for name, share in (("common", common), ("felt", felt)):
        if not 0 <= share <= 1:
            raise ContractError(column=name, expected="a share between 0 and 1", got=share)
    rows = {}
    alone = [one for one in whole.lone() if singles]
    for group in [*whole.groups(), *(Structure(members=(one,), name=one.part) for one in alone)]:
        others = [one.part for one in group.members]
        name = group.name or "+".join(others)
        name = name if name not in rows else f"{name}: {group.k} of {'+'.join(others)}"
        now = _with(whole, group, parts, common, felt, more=0)
        then = _with(whole, group, parts, common, felt, more=1)
        saved = Estimate(*_spread((then - now) * MONTH, confidence))
        rows[name] = (float(np.mean(now)), float(np.mean(then)), *saved)
    columns = ["now", "then", "seconds_saved", "lo", "hi"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("group")


def _with(whole: Structure, group: Structure, parts: Mapping[str, Any], common: float, felt: float, more: int) -> Any:
    """Availability of the whole when a group has more members, and shares of their downtime that none helps against."""
    names = [one.part for one in group.members]
    down = {name: 1 - np.asarray(parts[name], dtype=float) for name in names}
    together = common * sum(down.values()) / len(names)
    changed = dict(parts) | {CAUSE: 1 - together}
    for name in names:
        own = _less(down[name], together)
        changed[f"{name}{FELT}"] = 1 - felt * own
        changed[name] = 1 - _less(own, felt * own)
    added = [f"{names[0]} {number + 2} (more)" for number in range(more)]
    for name in added:
        for kind in ("", FELT):
            changed[name + kind] = sum(changed[one + kind] for one in names) / len(names)
    members = [*group.members, *map(Structure, added)]
    larger = Structure(k=group.k, members=tuple(members), name=group.name)
    # what all share stands beside the group once, and what is felt of any member all feel
    each = tuple(Structure(f"{one.part}{FELT}") for one in members) if felt else ()
    larger = Structure(k=2 + len(each), members=(larger, Structure(CAUSE), *each))
    old = group.members[0] if len(names) == 1 else group
    return _replaced(whole, old, larger, {*names, *added}, bool(felt)).availability(changed)


def _less(down: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Downtime that is left of a part in the time in which what it shares with others is up."""
    own = np.maximum(down - shared, 0.0)
    return np.divide(own, 1 - shared, out=np.zeros_like(own), where=shared < 1)


def _replaced(whole: Structure, old: Structure, new: Structure, parts: set[str], felt: bool) -> Structure:
    """The whole with another group in each place of the old one; beside it each of these parts with its causes."""
    if whole == old:
        return new
    if whole.part:  # down by itself, by what all of its group share, or by what is felt of it
        causes = [Structure(CAUSE), *([Structure(f"{whole.part}{FELT}")] if felt else [])]
        return Structure(k=1 + len(causes), members=(whole, *causes)) if whole.part in parts else whole
    return Structure(k=whole.k, members=tuple(_replaced(one, old, new, parts, felt) for one in whole.members))


def _spread(draws: Any, confidence: float) -> tuple[float, float, float]:
    tail = (1 - confidence) / 2
    value = float(np.mean(draws))
    lo, hi = np.quantile(np.atleast_1d(draws), [tail, 1 - tail])
    return value, min(float(lo), value), max(float(hi), value)


def read_structure(path: str | PathLike) -> Structure:
    """Read from YAML what a service needs.

    Parameters
    ----------
    path : path
        Each node is the name of a part, or a mapping with one of `series: [...]`, `parallel: [...]`, or `k: 2` and
        `of: [...]`, and perhaps a `name`.

    Returns
    -------
    Structure

    Raises
    ------
    ContractError
        With the file and the place in it.
    """
    path = Path(path)
    if path.is_file() and path.stat().st_size > LARGEST:
        raise ContractError(file=path, expected=f"at most {LARGEST:,} bytes", got=f"{path.stat().st_size:,}")
    return _node(load_yaml(path), path, "whole", 0)


def _node(said: Any, path: str | PathLike, where: str, depth: int) -> Structure:
    if isinstance(said, str) and said:
        return Structure(said)
    if not isinstance(said, Mapping) or depth > DEEPEST:
        got = "deeper nesting" if depth > DEEPEST else repr(said)
        raise ContractError(file=path, column=where, expected="a name, or series, parallel, or k and of", got=got)
    unknown = next((key for key in said if key not in ("series", "parallel", "k", "of", "name")), None)
    if unknown is not None:
        remedy = nearest(str(unknown), ["series", "parallel", "k", "of", "name"])
        raise ContractError(file=path, column=where, expected="a known field", got=str(unknown), remedy=remedy)
    kinds = [key for key in ("series", "parallel", "of") if key in said]
    if len(kinds) != 1 or ("k" in said) != (kinds == ["of"]):
        got = ", ".join(map(str, said)) or "nothing"
        raise ContractError(file=path, column=where, expected="one of series, parallel, or k with of", got=got)
    listed = said[kinds[0]]
    if not isinstance(listed, list) or not listed:
        raise ContractError(file=path, column=f"{where}.{kinds[0]}", expected="a list of members", got=repr(listed))
    members = tuple(_node(one, path, f"{where}.{kinds[0]}[{n}]", depth + 1) for n, one in enumerate(listed, start=1))
    k = {"series": len(members), "parallel": 1}.get(kinds[0], said.get("k"))
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= len(members):
        raise ContractError(file=path, column=f"{where}.k", expected=f"a number from 1 to {len(members)}", got=repr(k))
    return Structure(k=k, members=members, name=str(said.get("name", "")))
