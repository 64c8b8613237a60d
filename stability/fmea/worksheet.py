"""The worksheet that people write: failure modes with effect, cause, controls, ratings and the reason for each."""

from __future__ import annotations

__all__ = ["COLUMNS", "check_worksheet", "checked", "from_declaration", "to_declaration", "words_of"]

from collections.abc import Iterable
from os import PathLike
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from stability.fmea.priority import RATINGS
from stability.rules import Rule
from stability.schema import ContractError, declared, nearest

NEEDED = ("item", "effect", "cause", "prevention", "detection_control")
SEEN = ("rules", "recordings", "not_observable")  # one of them says how the mode can be seen, or why it cannot
LISTS = ("rules", "recordings", "sources")  # several, with a semicolon in between
REASONS = tuple(f"{rating}_reason" for rating in RATINGS)
NUMBERS = (*RATINGS, "safety_floor")
COLUMNS = (
    *NEEDED, "playbook", *SEEN,
    "severity", "safety_floor", "severity_reason", "occurrence", "occurrence_reason", "detection", "detection_reason",
    "sources",
)  # fmt: skip
DANGER = 9  # from here on a severity is one of safety or law
ROWS = 10_000  # at most
LONGEST = 1000  # characters of a cell: more is a document, not a cell
WHOLE = "a whole number from 1 to 10"


def _level(value: object) -> object:
    if type(value) is not int or not 1 <= value <= 10:
        raise ValueError(WHOLE)
    return value


Level = Annotated[int, BeforeValidator(_level)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Rating(_Said):
    rating: Level
    reason: str = Field(min_length=1)


class _Severity(_Rating):
    safety_floor: Level | None = None


class _Controls(_Said):
    prevention: str
    detection: str


class _Observed(_Said):
    rules: list[str] = []
    recordings: list[str] = []
    not_observable: str = ""


class _Mode(_Said):
    item: str
    effect: str
    cause: str
    controls: _Controls
    playbook: str = ""
    observed: _Observed
    severity: _Severity
    occurrence: _Rating
    detection: _Rating
    sources: list[str] = Field(min_length=1)


class _Worksheet(_Said):
    modes: dict[str, _Mode]


def from_declaration(read: object, source: str | PathLike) -> pd.DataFrame:
    """Make the worksheet's frame of what a YAML file declares.

    Parameters
    ----------
    read : object
        Mapping with `modes`: name -> item, effect, cause, controls, playbook, observed, the three ratings, sources.
    source : str or path
        For errors.

    Returns
    -------
    DataFrame, index failure_mode
        As `checked` gives it.

    Raises
    ------
    ContractError
        With the place in the file, what was expected, what came, and the nearest known key; else as `checked`.
    """
    modes = declared(_Worksheet, read, file=source).modes
    rows = {}
    for name, mode in modes.items():
        row = {column: getattr(mode, column) for column in ("item", "effect", "cause", "playbook")}
        row |= {"prevention": mode.controls.prevention, "detection_control": mode.controls.detection}
        row |= {"not_observable": mode.observed.not_observable, "safety_floor": mode.severity.safety_floor}
        row |= {"rules": mode.observed.rules, "recordings": mode.observed.recordings, "sources": mode.sources}
        for rating in RATINGS:
            row |= {rating: getattr(mode, rating).rating, f"{rating}_reason": getattr(mode, rating).reason}
        for column in LISTS:
            if any(";" in one for one in row[column]):
                raise ContractError(file=source, column=f"modes.{name}.{column}", expected="names without ;", got="one")
            row[column] = "; ".join(row[column])
        rows[name] = row
    return checked(pd.DataFrame.from_dict(rows, orient="index"), source)


def to_declaration(worksheet: pd.DataFrame) -> dict:
    """Make what the YAML file declares of a worksheet's frame: the other way round of `from_declaration`."""
    modes = {}
    for name, row in checked(worksheet, "worksheet").iterrows():
        mode = {column: row[column] for column in ("item", "effect", "cause")}
        mode["controls"] = {"prevention": row["prevention"], "detection": row["detection_control"]}
        if row["playbook"]:
            mode["playbook"] = row["playbook"]
        mode["observed"] = {column: _listed(row[column]) for column in ("rules", "recordings") if row[column]}
        if row["not_observable"]:
            mode["observed"]["not_observable"] = row["not_observable"]
        for rating in RATINGS:
            mode[rating] = {"rating": int(row[rating])}
            if rating == "severity" and not np.isnan(row["safety_floor"]):
                mode[rating]["safety_floor"] = int(row["safety_floor"])
            mode[rating]["reason"] = row[f"{rating}_reason"]
        modes[name] = mode | {"sources": _listed(row["sources"])}
    return {"modes": modes}


def _listed(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def checked(frame: pd.DataFrame, source: str | PathLike) -> pd.DataFrame:
    """Bring a worksheet into its form, or say what is wrong with it.

    Parameters
    ----------
    frame : DataFrame
        Index or column `failure_mode`, and the columns of `COLUMNS`, in any order. Rows with nothing in them are left
        out, and count in the rows that errors name.
    source : str or path
        For errors.

    Returns
    -------
    DataFrame, index failure_mode
        Texts with single spaces, '' where nothing is said, lists with '; ' in between; ratings as float64; columns as
        in `COLUMNS`.

    Raises
    ------
    ContractError
        With row and column: a worksheet without rows or with more than `ROWS`, a column that is missing, unknown or
        there twice, a mode without a name or named twice, a needed text that is empty, a rating that is no whole number
        from 1 to 10 or without a reason, a severity below its floor, a severity of danger without a floor, and a mode
        that is neither observable nor said to be none.
    """
    if (twice := frame.columns.duplicated()).any():
        name = str(frame.columns[twice][0])
        raise ContractError(file=source, column=name, expected="each column once", got="it twice")
    table = (
        frame.reset_index(names="failure_mode") if "failure_mode" not in frame.columns else frame.reset_index(drop=True)
    )
    table.index += 1  # rows as a person counts them
    table = table[~table.map(_nothing).all(axis="columns")].copy()
    if not 1 <= len(table) <= ROWS:
        raise ContractError(file=source, expected=f"1 to {ROWS:,} rows, a failure mode each", got=f"{len(table):,}")
    for name in ("failure_mode", *COLUMNS):
        if name not in table.columns:
            remedy = nearest(name, map(str, table.columns))
            raise ContractError(file=source, column=name, expected="a column of that name", got="none", remedy=remedy)
    if extra := [str(name) for name in table.columns if name not in ("failure_mode", *COLUMNS)]:
        raise ContractError(
            file=source, column=extra[0], expected="no other columns", got="one", remedy=nearest(extra[0], COLUMNS)
        )
    for name in ("failure_mode", *COLUMNS):
        if name not in NUMBERS:
            table[name] = [_text(cell, row, name, source) for row, cell in table[name].items()]
    for name in NUMBERS:
        table[name] = _numbers(table[name], table["failure_mode"], source)
    for name in LISTS:
        table[name] = ["; ".join(_listed(cell)) for cell in table[name]]
    for row, said in zip(table.index, table.to_dict("records"), strict=True):
        _check_row(said, row, source)
    if (twice := table["failure_mode"].duplicated()).any():
        row = int(twice.idxmax())
        got = f"{table['failure_mode'][row]} again"
        raise ContractError(file=source, row=row, column="failure_mode", expected="each mode once", got=got)
    return table.set_index("failure_mode")[list(COLUMNS)]


def _nothing(cell: object) -> bool:
    return not cell.strip() if isinstance(cell, str) else bool(pd.api.types.is_scalar(cell) and pd.isna(cell))


def _numbers(column: pd.Series, modes: pd.Series, source) -> pd.Series:
    known = ~column.map(_nothing).astype(bool)
    truth = column.map(lambda cell: isinstance(cell, bool | np.bool_)).astype(bool)  # pandas makes 1 of TRUE
    numbers = pd.to_numeric(column.where(known & ~truth), errors="coerce").astype("float64")
    wrong = known & ~(numbers.between(1, 10) & (numbers == numbers.round()))
    if column.name != "safety_floor":
        wrong |= ~known
    if wrong.any():
        row = int(wrong.idxmax())
        got = f"the truth value {str(column[row]).upper()}" if truth[row] else str(column[row])
        raise ContractError(
            f"mode {modes[row]!r}",
            file=source, row=row, column=str(column.name), expected=WHOLE, got=got if known[row] else "nothing",
        )  # fmt: skip
    return numbers


def _text(cell: object, row: int, name: str, source) -> str:
    if _nothing(cell):
        return ""
    text = " ".join(str(cell).split())
    if len(text) > LONGEST or not text.isprintable():
        expected = f"printable text of at most {LONGEST} characters"
        raise ContractError(file=source, row=row, column=name, expected=expected, got=text)
    return text


def _check_row(said: dict, row: int, source) -> None:
    def refuse(column: str, expected: str, got: str) -> None:
        raise ContractError(
            f"mode {said['failure_mode']!r}", file=source, row=row, column=column, expected=expected, got=got
        )

    for name in ("failure_mode", *NEEDED, *REASONS, "sources"):
        if not said[name]:
            refuse(name, "a text", "nothing")
    floor = said["safety_floor"]
    if said["severity"] < floor:  # False where there is none
        refuse("severity", f"at least the safety floor, {floor:g}", f"{said['severity']:g}")
    if said["severity"] >= DANGER and not floor >= DANGER:
        refuse("safety_floor", f"a floor of {DANGER} or 10 for a severity of {DANGER} or 10", "none")
    seen = bool(said["rules"] or said["recordings"])
    if seen == bool(said["not_observable"]):
        refuse("not_observable", "a rule or a recording, or why neither can see it", "both" if seen else "none of them")


def check_worksheet(
    worksheet: pd.DataFrame, rules: Iterable[Rule], playbooks: Iterable[str] | None = None
) -> list[str]:
    """Hold a worksheet against the rules and playbooks that there are.

    Parameters
    ----------
    worksheet : DataFrame
        From `read_worksheet`.
    rules : iterable of Rule
        All that ship or that you have.
    playbooks : iterable of str, optional
        Names of playbooks; without, they are not asked for.

    Returns
    -------
    list of str
        Sentences: a rule that does not exist or that is labelled with another mode, a mode with rules that the
        worksheet does not name, a mode of the rules that the worksheet lacks, a playbook that does not exist. Empty
        where nothing is wrong.
    """
    labelled = {rule.alert: rule.labels.get("failure_mode", "") for rule in rules}
    known, found = None if playbooks is None else set(playbooks), []
    for mode, row in worksheet.iterrows():
        named = _listed(row["rules"])
        for name in named:
            if name not in labelled:
                found.append(f"{mode}: rule {name} does not exist; {nearest(name, labelled)}")
            elif labelled[name] != mode:
                found.append(f"{mode}: rule {name} is labelled {labelled[name]}")
        own = {name for name, label in labelled.items() if label == mode}
        found += [f"{mode}: rule {name} is not in the worksheet" for name in sorted(own - set(named))]
        for name in _listed(row["playbook"]) if known is not None else []:
            if name not in known:
                found.append(f"{mode}: playbook {name} does not exist; {nearest(name, known)}")
    lacking = sorted(set(labelled.values()) - set(worksheet.index) - {""})
    return found + [f"{mode}: rules name it, the worksheet does not" for mode in lacking]


def words_of(worksheet: pd.DataFrame) -> pd.DataFrame:
    """Take the words that the contract's table `fmea` holds.

    Returns
    -------
    DataFrame, index failure_mode
        `effect`, `cause`, `controls` (prevention, detection and the rules' names, with semicolons in between, so that
        the knowledge graph finds the rules), `playbook`; NaN where nothing is said.
    """
    parts = worksheet[["prevention", "detection_control", "rules"]]
    controls = parts.apply(lambda row: "; ".join(one for one in row if one), axis=1)
    words = pd.DataFrame({"effect": worksheet["effect"], "cause": worksheet["cause"], "controls": controls})
    return words.assign(playbook=worksheet["playbook"]).replace("", np.nan)
