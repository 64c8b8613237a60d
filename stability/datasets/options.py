"""Options of loaders: parts of a dataset by name or pattern, and an error that lists what there is."""

from __future__ import annotations

__all__ = ["choose", "listed", "one_of"]

import fnmatch
from collections.abc import Iterable

from stability.schema import ContractError, nearest


def choose(option: str, wanted: object, known: Iterable[str], dataset: str) -> list[str]:
    """Names that any of the patterns matches, each once, in the order of `known`.

    Parameters
    ----------
    option : str
        Name of the option, for the error.
    wanted : object
        Names or patterns such as `machine-1-*`, one or several; `*` is all. Whatever else a spec may hold is refused.
    known : iterable of str
        The names that there are.
    dataset : str
        Whose names they are, for the error.

    Raises
    ------
    ContractError
        For a pattern that matches nothing, and where nothing is asked for.

    Examples
    --------
    >>> choose("subsets", ["FD00[12]", "FD004"], ["FD001", "FD002", "FD003", "FD004"], "cmapss")
    ['FD001', 'FD002', 'FD004']
    """
    known = list(known)
    patterns = listed(wanted)
    expected = f"a name or a pattern of '{option}' of dataset '{dataset}'"
    if not patterns:
        raise ContractError(expected=expected, got="none", remedy=nearest("", known))
    found: set[str] = set()
    for pattern in map(str, patterns):
        matching = [name for name in known if fnmatch.fnmatchcase(name, pattern)]
        if not matching:
            groups = {f"{name.rpartition('/')[0]}/*" for name in known if "/" in name}
            raise ContractError(expected=expected, got=repr(pattern), remedy=nearest(pattern, {*groups, *known}))
        found.update(matching)
    return [name for name in known if name in found]


def listed(wanted: object) -> list:
    """Several as a list, and what is one as a list of one: numbers, text, and whatever else a spec may hold.

    Examples
    --------
    >>> listed(7), listed(("a", "b")), listed({"a": 1})
    ([7], ['a', 'b'], [{'a': 1}])
    """
    return list(wanted) if isinstance(wanted, list | tuple | set | frozenset | range) else [wanted]


def one_of(option: str, wanted: object, known: Iterable[str], dataset: str) -> str:
    """Give `wanted` back if it is one of the known words.

    Raises
    ------
    ContractError
        If it is none.

    Examples
    --------
    >>> one_of("half", "test", ["both", "train", "test"], "smd")
    'test'
    """
    known = list(known)
    if wanted not in known:
        expected = f"a value of '{option}' of dataset '{dataset}'"
        raise ContractError(expected=expected, got=repr(wanted), remedy=nearest(str(wanted), known))
    return str(wanted)
