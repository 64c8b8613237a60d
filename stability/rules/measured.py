"""What `stability rules score` and `stability rules mine` print."""

from __future__ import annotations

__all__ = ["print_mined", "print_scores"]

from pathlib import Path

import pandas as pd

from stability import datasets
from stability.rules.beyond import PROMETHEUS
from stability.rules.causes import causes_of
from stability.rules.counting import split_history
from stability.rules.display import default_rules
from stability.rules.exporting import rule_file_text
from stability.rules.files import read_rules
from stability.rules.mining import gain, mine
from stability.rules.scoring import score
from stability.schema import written_whole

SHOWN = ["failure_mode", "episodes", "faults", "recall", "precision", "recall_any", "precision_any", "false_per_day"]


def print_scores(path: Path | None, dataset: str, late: str) -> None:
    """Print a line a rule: what it finds, how often it is right, how often it fires for nothing, and the verdict.

    Parameters
    ----------
    path : Path or None
        As for `read_rules`; the rules that ship without it.
    dataset : str
        With telemetry and faults.
    late : str
        As for `score`.
    """
    tables = datasets.load(dataset)
    rules = read_rules(path or default_rules())
    table = score(rules, tables["telemetry"], tables["faults"], late=late)
    shown = table[SHOWN[:3]].copy()
    for name in SHOWN[3:]:
        digits = 0 if name == "false_per_day" else 2
        shown[name] = [
            "-" if pd.isna(value) else f"{value:.{digits}f} [{lo:.{digits}f}, {hi:.{digits}f}]"
            for value, lo, hi in table[[name, f"{name}_lo", f"{name}_hi"]].itertuples(index=False)
        ]
    print(shown.assign(verdict=table["verdict"])[table["episodes"] > 0].to_string())
    faults = len(causes_of(tables["faults"]))
    print(f"\n{len(rules)} rules on {faults} faults of {dataset}; 95 % intervals in brackets.")
    for verdict, own in table.groupby(table["verdict"].str.replace(r"(?<=repeats).*", " another", regex=True)):
        named = ", ".join(own.index[:6]) + (" ..." if len(own) > 6 else "")
        print(f"{verdict}: {len(own)}" + ("" if verdict == "ok" else f" ({named})"))
    elsewhere = table.index[table["by"] == PROMETHEUS]
    if len(elsewhere):
        print(f"Outside of the subset, and evaluated by a Prometheus: {', '.join(elsewhere)}.")
    for name, why in table.loc[table["why_not"] != "", "why_not"].items():
        print(f"Not scored, {name}: {why}.")


def print_mined(path: Path | None, dataset: str, budget: float, share: float, windows: list[str], late: str,
                output: Path | None) -> None:  # fmt: skip
    """Mine rules on the first part of a record, print what they add on the rest, and write them.

    Parameters
    ----------
    path : Path or None
        Rules that are there already; those that ship without it.
    dataset : str
        With telemetry and faults.
    budget : float
        False episodes a day.
    share : float
        Of the record, to learn from.
    windows : list of str
        Ranges of features.
    late : str
        As for `score`.
    output : Path or None
        File for the rules.
    """
    tables = datasets.load(dataset)
    first, later = split_history(tables["telemetry"], tables["faults"], share)
    mined, table = mine(*first, budget=budget, windows=windows, late=late)
    for name, row in table.iterrows():
        print(f"{name} ({row['failure_mode']}): {row['expr']}" + (f" for {row['for']}" if row["for"] != "0s" else ""))
    if mined:
        print(f"\nOn the last {1 - share:.0%} of the record, which they were not made from:")
        print(gain(mined, read_rules(path or default_rules()), *later, late=late, budget=budget).round(2).to_string())
    else:
        print("No rule keeps the budget on the first part.")
    if output is not None and mined:
        with written_whole(output) as file:
            file.write(rule_file_text(mined).encode())
        print(f"\n{output}")
