"""The one error for bad input: which file, row and column, what was expected, what came, what to do."""

from __future__ import annotations

__all__ = ["ContractError", "nearest", "one_of", "redact"]

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from os import PathLike

SHOWN = 20  # names listed in a message: more are a page, not an answer
LONGEST = 400  # characters of what came, of a name or a path: a cell of ten megabytes is no sentence


class ContractError(ValueError):
    """Input that breaks a contract, told so that its owner can mend it.

    Parameters
    ----------
    problem : str
        A sentence, where the fields below do not say it all.
    file : str or path, optional
        The file, address or table that was read.
    row : int or sequence of int, optional
        Data rows as a person counts them: 1 is the first row below the header.
    column : str, optional
        The column.
    expected : str, optional
        What the contract asks for.
    got : object, optional
        What came; values that are not text are shown as Python writes them.
    remedy : str, optional
        What to do about it.

    Examples
    --------
    >>> print(ContractError(file="cpu.csv", row=17, column="cpu_seconds", expected="a number", got="'abc'",
    ...                     remedy="correct the cell or leave it empty"))
    cpu.csv, row 17, column 'cpu_seconds': expected a number, got 'abc'. Remedy: correct the cell or leave it empty.
    """

    __module__ = "stability.schema"  # tracebacks name the place that users import it from

    def __init__(
        self,
        problem: str = "",
        *,
        file: str | PathLike | None = None,
        row: int | Sequence[int] | None = None,
        column: str | None = None,
        expected: str | None = None,
        got: object = None,
        remedy: str | None = None,
    ):
        self.problem, self.file, self.row, self.column = problem, None if file is None else str(file), row, column
        self.expected, self.got, self.remedy = expected, got, remedy
        super().__init__(self._message())

    def _message(self) -> str:
        place = []
        if self.file is not None:
            place.append(_short(self.file))
        if self.row is not None:
            rows = [self.row] if isinstance(self.row, int) else list(self.row)
            place.append(f"row{'s' * (len(rows) > 1)} {', '.join(map(str, rows))}")
        if self.column is not None:
            place.append(f"column {_short(self.column)!r}")
        said = [self.problem.rstrip(".")] if self.problem else []
        if self.expected is not None:
            said.append(f"expected {self.expected}")
        if self.got is not None:
            said.append(f"got {_short(self.got if isinstance(self.got, str) else repr(self.got))}")
        text = ": ".join(part for part in (", ".join(place), ", ".join(said)) if part)
        if self.remedy:
            text = f"{text}. Remedy: {_short(self.remedy.rstrip('.'), 2 * LONGEST)}"
        text = redact(" ".join(text.splitlines()))  # a sentence stays one, whatever was quoted in it
        text = text.encode("utf-8", "backslashreplace").decode()  # half a character cannot be printed
        return f"{text}." if text and not text.endswith(("?", "!")) else text

    def __reduce__(self):
        """Keep the fields when the error travels between processes."""
        fields = ("problem", "file", "row", "column", "expected", "got", "remedy")
        return _rebuild, ({name: getattr(self, name) for name in fields},)


def _short(text: str, longest: int = LONGEST) -> str:
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]} ... {text[-longest // 4 :]} ({len(text):,} characters)"


def _rebuild(fields: dict) -> ContractError:
    return ContractError(fields.pop("problem"), **fields)


def nearest(name: str, names: Iterable[str]) -> str:
    """Say which known name was probably meant, and which there are.

    Parameters
    ----------
    name : str
        The unknown name.
    names : iterable of str
        The known names.

    Returns
    -------
    str
        A half sentence for an error's remedy.

    Examples
    --------
    >>> nearest("entitty", ["entity", "timestamp"])
    "did you mean 'entity'? There are: entity, timestamp"
    >>> nearest("zzz", [])
    'there are none'
    """
    known, name = sorted(map(str, names)), _short(str(name))
    if not known:
        return "there are none"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    shown = known
    if len(known) > SHOWN:  # the nearest ones, in order, and how many are left out
        shown = difflib.get_close_matches(name, known, n=SHOWN, cutoff=0.0)
    listed = ", ".join(shown) + (f" and {len(known) - len(shown)} more" if len(shown) < len(known) else "")
    return f"did you mean {close[0]!r}? There are: {listed}" if close else f"there are: {listed}"


def redact(text: str) -> str:
    """Hide the password of an address: a page is passed around more freely than a store's credentials.

    Examples
    --------
    >>> redact("postgresql://night:s3cret@db/mlflow"), redact("postgresql://night:p@ss@db/mlflow?x=1&password=s3")
    ('postgresql://night:***@db/mlflow', 'postgresql://night:***@db/mlflow?x=1&password=***')
    """
    text = re.sub(r"(://[^:/@\s]*):[^/\s]+@", r"\1:***@", text)
    return re.sub(r"(?i)([?&](?:password|passwd|pwd|sslpassword|token|secret)=)[^&\s\"']+", r"\1***", text)


def one_of(name: str | None, names: Collection[str], kind: str) -> str:
    """Give a name that is known, or the only one there is where none was given.

    Parameters
    ----------
    name : str or None
        What was asked for.
    names : collection of str
        The known names.
    kind : str
        What they name, for the error.

    Returns
    -------
    str

    Raises
    ------
    ContractError
        With the nearest known name and a list of them all.

    Examples
    --------
    >>> one_of("load", ["load", "up"], "metric"), one_of(None, ["load"], "metric")
    ('load', 'load')
    """
    if name is None and len(names) == 1:
        return next(iter(names))
    if name is None or name not in names:
        said = "none" if name is None else repr(name)
        raise ContractError(expected=f"the name of one {kind}", got=said, remedy=nearest(str(name), names))
    return name
