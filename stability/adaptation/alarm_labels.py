"""What people said of alarms: confirmed, discarded, unsure; each label kept for good beside its alarm's own columns."""

from __future__ import annotations

__all__ = ["LABELS", "AlarmLabels", "attributed"]

import contextlib
import datetime as dt
import getpass
import json
import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from stability.adaptation.labelled import ALARM, TAKEN_BACK, chosen_alarms, current_labels
from stability.feedback.incidents import read_cells
from stability.feedback.store import private_store
from stability.records.privacy import KeyStore, scrub_column, scrub_message
from stability.schema import (
    TABLES,
    ContractError,
    empty,
    home,
    one_of,
    read_table,
    validate,
    write_table,
    written_whole,
)

LABELS = ("confirmed", "discarded", "unsure")
COLUMNS = tuple(TABLES["alarm_labels"].columns)
TIMES, NUMBERS = ("start", "end", "labelled_at"), ("score", "threshold")
LONGEST = 2000  # characters of a reason: more is a report, not a reason
WAIT = 10.0  # seconds for another writer; labelling takes a thousandth of it
AHEAD = pd.Timedelta("5min")  # that another machine's clock may be ahead; a later label would outlast all others
NEWEST = (
    "select label, reason, labelled_by, labelled_at from alarm_labels where detector = ? and entity = ? and start = ?"
    " order by labelled_at desc, rowid desc limit 1"
)


class AlarmLabels:
    """Labels of alarms, in one SQLite file that only its owner may read; none is ever changed or taken out.

    Parameters
    ----------
    folder : path, optional
        Default ``runs/feedback`` of the workbench, which is in its backups.
    keys : KeyStore, optional
        Gives pseudonyms; default: the workbench's own.

    Notes
    -----
    What people said and who they are is kept as messages of users are: reasons are scrubbed, people are pseudonyms,
    `stability data erase` and `stability data expire --tables alarm_labels` reach it. A label is on the disk when
    `label` returns; many labels are all kept or none. Two writers wait for each other.
    """

    def __init__(self, folder: str | os.PathLike | None = None, *, keys: KeyStore | None = None):
        self.folder = Path(folder) if folder is not None else home() / "runs" / "feedback"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path, self.keys = self.folder / "alarm_labels.sqlite", keys or KeyStore()

    def label(
        self,
        alarms: pd.DataFrame,
        label: str,
        *,
        names: Sequence[str] | None = None,
        reason: str = "",
        by: str = "",
    ) -> pd.DataFrame:
        """Say what alarms were; what holds already is not said again.

        Parameters
        ----------
        alarms : DataFrame
            As for `labelled.labelled`: an alarm that is not among them does not exist.
        label : {"confirmed", "discarded", "unsure"}
        names : sequence of str, optional
            Which of the alarms; all without it.
        reason : str
            Why, in words; scrubbed before it is kept.
        by : str
            Who says so; the account's name without it. A pseudonym is kept.

        Returns
        -------
        DataFrame
            The contract's `alarm_labels`: those that are new.

        Raises
        ------
        ContractError
            For an alarm or a label that there is not, and for alarms that lack what a label needs.
        """
        one_of(label, LABELS, "label")
        told = chosen_alarms(alarms, names or ())
        if names is not None and not names:
            told = told.iloc[:0]
        if len(reason) > LONGEST:
            raise ContractError(column="reason", expected=f"at most {LONGEST:,} characters", got=f"{len(reason):,}")
        who, text = attributed(by, reason, self.keys)
        return self._say(told.assign(label=label, reason=text or None), who)

    def restore(self, before: pd.DataFrame, *, by: str = "") -> pd.DataFrame:
        """Let labels hold again that held before something was said: by newer labels, since none is taken out.

        Parameters
        ----------
        before : DataFrame
            As `labelled` gave it; an alarm that had no label gets an `unsure` that says that it was taken back.
        by : str
            As for `label`.

        Returns
        -------
        DataFrame
            The contract's `alarm_labels`: those that are new.
        """
        none = before["label"].isna()
        label, reason = before["label"].mask(none, "unsure"), before["reason"].mask(none, TAKEN_BACK)
        said = before.drop(columns="labelled_at").assign(label=label, reason=reason)
        return self._say(said, attributed(by, "", self.keys)[0])

    def frame(self) -> pd.DataFrame:
        """Give every label that was ever said, the oldest first: the contract's `alarm_labels`."""
        with self._open() as store:
            rows = store.execute(f"select {', '.join(COLUMNS)} from alarm_labels order by labelled_at, rowid")  # noqa: S608 - names of ours
            frame = pd.DataFrame(rows.fetchall(), columns=list(COLUMNS))
        frame["entity"] = frame["entity"].replace("", None)
        order = frame["label_id"].tolist()
        return validate(frame, "alarm_labels").loc[order] if order else empty("alarm_labels")

    def current(self) -> pd.DataFrame:
        """Give the label that holds of each alarm, as `current_labels`."""
        return current_labels(self.frame())

    def export(self, file: str | os.PathLike) -> int:
        """Write every label as a table of the contract, Parquet or CSV by the file's name; how many.

        Raises
        ------
        ContractError
            For another ending.
        """
        path, frame = Path(file), self.frame()
        if _ending(path) == ".csv":
            with written_whole(path) as out:
                out.write(frame.to_csv(date_format="%Y-%m-%dT%H:%M:%S.%f%z").encode())
        else:
            write_table(frame, path, "alarm_labels")
        return len(frame)

    def import_(self, file: str | os.PathLike) -> dict[str, int]:
        """Take in labels that were given elsewhere: a table of the contract, Parquet or CSV.

        Parameters
        ----------
        file : path
            A table without `label_id` gets names by what its rows say, so that it can be taken in again.

        Returns
        -------
        dict of str to int
            `new`, and `known` already.

        Raises
        ------
        ContractError
            Before anything is kept, for a file that is none, a row that breaks the contract, a moment that is yet to
            come, and a label that is known under its name and says something else.
        """
        path = Path(file)
        if not path.is_file():
            raise ContractError(file=path, expected="labels, .parquet or .csv", got="no file")
        frame = read_cells(path) if _ending(path) == ".csv" else read_table(path, "alarm_labels").reset_index()
        if "label_id" not in frame and len(frame):
            told = frame.drop(columns="reason", errors="ignore").fillna("").astype(str).agg("|".join, axis=1)
            frame = frame.assign(label_id=[f"l{self.keys.digest(text)}" for text in told])
        said = validate(frame, "alarm_labels", source=path).reset_index()
        ahead = said["labelled_at"] > pd.Timestamp(dt.datetime.now(dt.UTC)) + AHEAD
        if ahead.any():
            row = int(ahead.to_numpy().argmax())
            raise ContractError(file=path, row=row + 1, column="labelled_at", expected="a moment that has been",
                                got=str(said["labelled_at"].iloc[row]))  # fmt: skip
        people = self.keys.pseudonyms(said["labelled_by"].unique())
        names = {name: pseudonym for name, pseudonym in people.items() if name != pseudonym}
        reasons = scrub_column(said["reason"].str.slice(0, LONGEST), names, scrub_message)
        said = said.assign(labelled_by=said["labelled_by"].map(people), reason=reasons)
        with self._changing() as store:
            known = {name: row for name in said["label_id"] if (row := _known(store, name))}
            for row in said.itertuples():
                if row.label_id in known and known[row.label_id] != (row.label, _iso(row.start), _iso(row.labelled_at)):
                    got = f"{row.label} of {row.labelled_at}"
                    raise ContractError(file=path, column="label_id", got=f"{row.label_id!r}: {got}",
                                        expected=f"{known[row.label_id][0]} as this store has it")  # fmt: skip
            new = self._add(store, said[~said["label_id"].isin(known)])
        return {"new": len(new), "known": len(known)}

    def _say(self, said: pd.DataFrame, who: str) -> pd.DataFrame:
        """Keep what does not hold already of alarms with `label` and `reason`, all or nothing."""
        if said.empty:
            return empty("alarm_labels")
        said = said.drop(columns="alarm_id").assign(labelled_by=who)
        with self._changing() as store:
            now, moments, keep = pd.Timestamp(dt.datetime.now(dt.UTC)), [], []
            for row in said.itertuples():
                newest = store.execute(NEWEST, [row.detector, _text(row.entity) or "", _iso(row.start)]).fetchone()
                said_now = (row.label, _text(row.reason), who)
                says = said_now[:2] != ("unsure", TAKEN_BACK) if newest is None else newest[:3] != said_now
                keep.append(says)
                # What is said last holds, also when the clock was set back in between.
                moments.append(now if newest is None else max(now, pd.Timestamp(newest[3]) + pd.Timedelta("1us")))
            return self._add(store, said.assign(labelled_at=moments)[keep])

    def _add(self, store: sqlite3.Connection, said: pd.DataFrame) -> pd.DataFrame:
        """Write labels within a transaction, as the contract has them."""
        if said.empty:
            return empty("alarm_labels")
        if "label_id" not in said:
            told = said[[*ALARM, "label", "labelled_by", "labelled_at"]].astype(str).to_numpy().tolist()
            said = said.assign(label_id=[f"l{self.keys.digest(json.dumps(row))}" for row in told])
        made = validate(said, "alarm_labels", source="labels").loc[said["label_id"].tolist()]
        rows = made.reset_index()[list(COLUMNS)].to_dict("records")
        places = ", ".join("?" * len(COLUMNS))
        store.executemany(
            f"insert into alarm_labels ({', '.join(COLUMNS)}) values ({places})",  # noqa: S608 - names of ours
            ([_cell(name, row[name]) for name in COLUMNS] for row in rows),
        )
        return made

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as store:
            store.execute("begin immediate")  # what holds is asked and changed in one: two writers wait for each other
            yield store

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        columns = ", ".join(f"{name} {'real' if name in NUMBERS else 'text'}" for name in COLUMNS)
        table = f"create table if not exists alarm_labels ({columns}, primary key (label_id))"
        index = "create index if not exists alarms on alarm_labels (detector, entity, start)"
        try:
            with private_store(self.path, table, index, wait=WAIT) as store:
                yield store
        except sqlite3.DatabaseError as error:
            raise ContractError(file=self.path, expected="a store of labels that can be changed", got=str(error),
                                remedy="stop what holds it, and repeat this") from error  # fmt: skip


def attributed(by: str, text: str, keys: KeyStore) -> tuple[str, str]:
    """Give who says something as a pseudonym, and what is said, scrubbed, with the pseudonym for the speaker's name.

    Parameters
    ----------
    by : str
        The account's name without it.
    text : str
    keys : KeyStore
    """
    by = (by or getpass.getuser()).encode("utf-8", "replace").decode()
    who = keys.pseudonyms([by])[by]
    text = text.encode("utf-8", "replace").decode().replace("\0", " ").strip()
    return who, scrub_column(pd.Series([text]), {by: who}, scrub_message).iloc[0]


def _known(store: sqlite3.Connection, name: str) -> tuple | None:
    return store.execute("select label, start, labelled_at from alarm_labels where label_id = ?", [name]).fetchone()


def _ending(path: Path) -> str:
    if path.suffix not in (".csv", ".parquet"):
        raise ContractError(file=path, expected="a file .parquet or .csv", got=path.suffix or "no ending")
    return path.suffix


def _iso(stamp: pd.Timestamp) -> str:
    return stamp.tz_convert("UTC").isoformat(timespec="microseconds")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _cell(name: str, value: object) -> str | float | None:
    if name in TIMES:
        return None if pd.isna(value) else _iso(value)
    if name in NUMBERS:
        return None if math.isnan(value) else float(value)
    return _text(value) if name != "entity" else _text(value) or ""
