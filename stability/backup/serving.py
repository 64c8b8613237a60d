"""MLflow on a restored store, and one run read from it: the proof that a backup is one."""

from __future__ import annotations

__all__ = ["read_again", "served"]

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stability.backup.manifest import Manifest, differences
from stability.schema import ContractError

if TYPE_CHECKING:
    from mlflow import MlflowClient

HOST = "127.0.0.1"
PATIENCE = 180.0  # seconds until a server answers: on a machine that is busy MLflow takes a minute
PAUSE = 0.1


@contextlib.contextmanager
def served(uri: str, log: Path) -> Iterator[str]:
    """Start MLflow's server on a store, on loopback, and give its address once it answers; it ends with the block.

    Parameters
    ----------
    uri : str
        The store's address; the server gets it through the environment, as a password may be in it.
    log : path
        What the server says.

    Raises
    ------
    ContractError
        When it does not answer.
    """
    import httpx

    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("mlflow")
    command = [str(program) if program.is_file() else "mlflow", "server", "--host", HOST, "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment |= {
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*command, "--workers", "1"],
            env=environment,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its workers end with it
        )
    try:
        address, end = f"http://{HOST}:{port}", time.monotonic() + PATIENCE
        with httpx.Client(timeout=5) as client:  # one: to make another takes as long as all else here
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if client.get(f"{address}/health").status_code == 200:
                        break
                if process.poll() is not None or time.monotonic() > end:
                    words = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
                    raise ContractError(
                        file=log, expected="MLflow's server to answer on the restored store", got=words[-1]
                    )
                time.sleep(PAUSE)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # of a scratch copy: nothing is lost
        process.wait()


def read_again(client: MlflowClient, manifest: Manifest) -> list[str]:
    """Read the manifest's run through MLflow, and say in sentences what is not as it was.

    Parameters
    ----------
    client : MlflowClient
        Of a restored store, or of a server on it.
    manifest : Manifest
        With a sample.
    """
    from mlflow.exceptions import MlflowException

    sample, said = manifest.sample, []
    try:
        run = client.get_run(sample.run_id)
        said += differences(sample.metrics, {k: v for k, v in run.data.metrics.items() if v == v}, "metric")
        if len(run.data.params) != sample.params:
            said.append(f"run {sample.run_id} had {sample.params} parameters and has {len(run.data.params)}")
        if sample.artifact:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(client.download_artifacts(sample.run_id, sample.artifact_path, folder))
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest != manifest.entries[sample.artifact].sha256:
                said.append(f"artifact {sample.artifact_path} of run {sample.run_id} is not what it was")
    except (MlflowException, OSError) as error:
        said.append(f"run {sample.run_id} cannot be read: {' '.join(str(error).split())[:300]}")
    return said
