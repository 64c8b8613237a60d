"""A workbench of its own for each test: a folder with notebooks, experiments and a store, far from the checkout's."""

import shutil
from pathlib import Path

import nbformat
import yaml
from nbformat.v4 import new_code_cell, new_notebook

CHECKOUT = Path(__file__).resolve().parents[1]
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}

# Bodies of small notebooks; the first cell is the parameters cell.
PLAIN = ("k = 1", "print(k)")
RAISES = ("k = 1", "1 / 0")
DIES = ("k = 1", "import os\nos.kill(os.getpid(), 9)", "print('never')")
HANGS = ("k = 1", "import time\ntime.sleep(600)")
DIES_ONCE = (
    "marker = ''",
    """import os, pathlib
if not pathlib.Path(marker).exists():
    pathlib.Path(marker).touch()
    os.kill(os.getpid(), 9)""",
)
# Writes one table and logs nothing: an import of MLflow costs more than all else that a kernel does.
TABLE = (
    "k = 1\noutput = ''",
    "import pyarrow as pa, pyarrow.parquet as pq",
    "pq.write_table(pa.table({'x': [k]}), f'{output}/made.parquet')",
)
# Writes one table and one of each sort of metric, as the notebooks of the workbench do.
LOGS = (
    "k = 1\ngroup = 'g'\ninputs = {}\noutput = ''\nseed = 0",
    "import mlflow, pandas as pd\nfrom stability.workbench import tracking",
    """tracking.connect()
with mlflow.start_run():
    tracking.log(output=output, estimates={f'{group}.e{k}': (1.0, 0.5, 1.5)}, counts={f'{group}.n{k}': k})
    tracking.log_tables(output, {'made': pd.DataFrame({'x': [k]})})""",
)


class Workbench:
    """A workbench's folder with a few verbs to fill it."""

    def __init__(self, folder):
        self.folder = Path(folder)
        for name in ("notebooks", "experiments", "data"):
            (self.folder / name).mkdir(parents=True)
        shutil.copy(CHECKOUT / "data" / "metrics.yaml", self.folder / "data")

    def notebook(self, name, cells):
        """Write a notebook from the sources of its code cells."""
        nb = new_notebook(cells=[new_code_cell(c) for c in cells], metadata=KERNEL)
        nb.cells[0].metadata["tags"] = ["parameters"]
        nbformat.write(nb, self.folder / "notebooks" / name)

    def spec(self, steps, name="exp", **fields):
        """Write an experiment and return its path."""
        path = self.folder / "experiments" / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"steps": steps, **fields}, sort_keys=False))
        return path

    def latest(self, name="exp"):
        """The folder of the newest run."""
        return self.folder / "runs" / name / "latest"
