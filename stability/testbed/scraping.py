"""Who samples the service every second: a real Prometheus where one is installed, else the collector."""

from __future__ import annotations

__all__ = [
    "INTERVAL",
    "JOB",
    "KEPT",
    "LOOKBACK",
    "NAME",
    "TARGETS",
    "TIMEOUT",
    "collector_command",
    "installed",
    "prometheus_command",
    "prometheus_config",
    "read_targets",
    "scraper",
    "write_targets",
]

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stability.testbed.processes import Child

NAME = "metrics"  # of the process that scrapes
JOB = "testbed"
INTERVAL = 1  # s between two scrapes of a target
TIMEOUT = 0.9  # s that a target has for an answer: the next scrape does not wait for it
LOOKBACK = 5  # s for which a sample serves when no later scrape was tried, because the scraper itself was held up
KEPT = 45 * 60  # s of samples that the collector holds in memory: a segment and what goes before and after it
SIZE = "512MB"  # of Prometheus's storage, which forgets the oldest beyond it; a day of the testbed is less
TARGETS = "targets.json"
SAMPLES = "samples"  # folder of Prometheus's storage


def installed() -> str | None:
    """Path of the Prometheus on this machine, None without one."""
    return shutil.which("prometheus")


def prometheus_config() -> str:
    """Configuration of a Prometheus that scrapes whatever `targets.json` beside it names, YAML.

    The targets stand in a file of their own, which the server watches: they may change while it runs.
    """
    return f"""\
global:
  scrape_interval: {INTERVAL}s
  scrape_timeout: {round(TIMEOUT * 1_000)}ms
scrape_configs:
  - job_name: {JOB}
    file_sd_configs:
      - files: [{TARGETS}]
        refresh_interval: {INTERVAL}s
"""


def write_targets(folder: Path, targets: Mapping[str, int]) -> Path:
    """Say what is to be scraped from now on; whoever reads meanwhile sees the old file or the new one, whole.

    Parameters
    ----------
    folder : Path
        Folder of the scraper; made if need be.
    targets : mapping of str to int
        Entity to its port on loopback. The entity becomes the label `instance`, so that it keeps its name when it moves
        to another port.

    Returns
    -------
    Path
        `targets.json`, in the form of Prometheus's file-based service discovery.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups = [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": entity}} for entity, port in targets.items()]
    path = folder / TARGETS
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(groups, indent=1) + "\n")
    return fresh.replace(path)


def read_targets(path: Path) -> dict[str, str]:
    """Entity to address (host:port), as `write_targets` wrote them."""
    return {group["labels"]["instance"]: group["targets"][0] for group in json.loads(path.read_text())}


def prometheus_command(folder: Path, port: int) -> list[str]:
    """Write the configuration into a folder and return the command of a Prometheus that works there.

    It answers on loopback alone, and starts again over what a killed one has left. It does not follow its standard
    input: its parent sees to it that it ends.

    Parameters
    ----------
    folder : Path
        Holds `targets.json`; gets `prometheus.yml` and the samples.
    port : int

    Raises
    ------
    FileNotFoundError
        If there is no Prometheus on this machine.
    """
    program = installed()
    if program is None:
        raise FileNotFoundError("prometheus is not installed (Debian: apt-get install -y prometheus)")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text(prometheus_config())
    return [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / SAMPLES}",
        f"--storage.tsdb.retention.size={SIZE}",
        f"--query.lookback-delta={LOOKBACK}s",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]


def collector_command(folder: Path, port: int) -> list[str]:
    """Return the command of the collector, which needs no Prometheus; it ends when its standard input does."""
    return [
        sys.executable,
        "-m",
        "stability.testbed.collector",
        "--targets",
        str(folder / TARGETS),
        "--port",
        str(port),
    ]


def scraper(folder: Path, port: int) -> Child:
    """Return the process that scrapes on this machine, not started: Prometheus, or the collector without one."""
    from stability.testbed.processes import Child  # not at the top: the collector needs no web framework

    command = prometheus_command if installed() else collector_command
    return Child(NAME, command(folder, port), port, folder / "out")
