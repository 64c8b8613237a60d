"""AI4I 2020: ten thousand milling cycles without time, of which 339 failed; a table, not a panel."""

from __future__ import annotations

__all__ = ["AI4I"]

import numpy as np
import pandas as pd

from stability.datasets.frames import read_csv
from stability.datasets.sources import Source, public
from stability.schema import ContractError, validate

SOURCE = Source(
    "ai4i",
    "https://archive.ics.uci.edu/static/public/601/ai4i+2020+predictive+maintenance+dataset.zip",
    archive=True,
)
FILE = "ai4i2020.csv"
KELVIN, RPM, MINUTE = 273.15, 1 / 60, 60.0
TEXTS = {"Product ID": "product_id", "Type": "type"}
NUMBERS = {  # column of the origin -> column, what is subtracted, factor
    "Air temperature [K]": ("machine_air_temperature_celsius", KELVIN, 1.0),
    "Process temperature [K]": ("machine_process_temperature_celsius", KELVIN, 1.0),
    "Rotational speed [rpm]": ("machine_rotation_hertz", 0.0, RPM),
    "Torque [Nm]": ("machine_torque_newton_meters", 0.0, 1.0),
    "Tool wear [min]": ("machine_tool_wear_seconds", 0.0, MINUTE),
}
LABEL = "Machine failure"
MODES = {
    "TWF": "tool_wear_failure",
    "HDF": "heat_dissipation_failure",
    "PWF": "power_failure",
    "OSF": "overstrain_failure",
    "RNF": "random_failure",
}


def load() -> dict[str, pd.DataFrame]:
    """Load the milling cycles.

    Returns
    -------
    dict
        Three tables of 10,000 rows with the same index `udi`, and no telemetry, because nothing here has a time:

        - `products`: what may be a feature: `product_id`, `type` (quality L, M, H), and five readings in base units;
        - `outcome`: `machine_failure` (bool), what is to be predicted;
        - `modes`: the five failure modes (bool), which the outcome is made of: as features they leak it.

    Raises
    ------
    ContractError
        Where the file is missing, altered or of another form.

    Notes
    -----
    Kelvin to Celsius, rpm to hertz, minutes to seconds. Nine failures have no mode, and 18 of the 19 random failures
    are no failure of the machine. `product_id` begins with the type and is unique, so it is a name and no feature.
    Rows are independent: the origin's random walk of temperatures is the only thing that runs through them, and
    a split at random is what its literature uses. A file of the same name with products M00001, M00002, ... circulates;
    it is another one, and its checksum does not fit.
    """
    path = SOURCE.intact(FILE)
    frame = read_csv(path, columns=["UDI", *TEXTS, *NUMBERS, LABEL, *MODES]).set_index("UDI").rename_axis("udi")
    flags = frame[[LABEL, *MODES]]
    if not flags.isin([0, 1]).all(axis=None) or frame.index.has_duplicates:
        raise ContractError(file=path, expected="each UDI once, and flags of 0 and 1", got="other values")
    products = frame[list(TEXTS)].rename(columns=TEXTS)
    for name, (column, zero, factor) in NUMBERS.items():
        # The origin has one decimal: what a subtraction adds behind it is no information.
        products[column] = np.round((frame[name].astype("float64") - zero) * factor, 9)
    tables = {
        "products": products,
        "outcome": flags[[LABEL]].astype("bool").set_axis(["machine_failure"], axis="columns"),
        "modes": flags[list(MODES)].astype("bool").rename(columns=MODES),
    }
    return {name: validate(table, "other", source=path) for name, table in tables.items()}


AI4I = public(
    SOURCE,
    description="10,000 independent milling cycles, simulated: a table without time (products, outcome, modes)",
    licence="CC-BY-4.0",
    citation="Matzka (2020), AI4I '20, doi 10.1109/AI4I49448.2020.00023; UCI 601, doi 10.24432/C5HS5C",
    labels="339 failures and five failure modes",
    origin="https://archive.ics.uci.edu/dataset/601",
    load=load,
    files=lambda: [FILE],
)
