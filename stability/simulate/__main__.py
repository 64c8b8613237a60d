"""Regenerate data: `python -m stability.simulate data/scenarios/fleet.yaml data/simulated`."""

from __future__ import annotations

import argparse
import sys

import pyarrow.parquet as pq

from stability.schema import ContractError
from stability.simulate.tables import write


def main(arguments: list[str] | None = None) -> int:
    """Simulate a scenario file into a folder; 0 when done, 2 when the scenario is wrong."""
    parser = argparse.ArgumentParser(prog="python -m stability.simulate", description=main.__doc__)
    parser.add_argument("scenario", help="a scenario file, such as data/scenarios/fleet.yaml")
    parser.add_argument("folder", help="where the tables go as Parquet")
    parser.add_argument("--seed", type=int, help="instead of the scenario's own")
    asked = parser.parse_args(arguments)
    try:
        files = write(asked.scenario, asked.folder, asked.seed)
    except ContractError as error:
        print(error, file=sys.stderr)
        return 2
    for file in files:
        rows = f"  {pq.read_metadata(file).num_rows:,} rows" if file.suffix == ".parquet" else ""
        print(f"{file}{rows}  {file.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
