"""The servers behind `make lab` and `make report`, and the lock behind `make lock`; all on loopback."""

import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from stability.schema import home, redact
from stability.workbench.kernels import QUIET
from stability.workbench.tracking import INTERACTIVE, experiment_id, locked, open_store, store_uri

__all__ = ["lab", "lock", "main", "report", "tool"]

HOST = "127.0.0.1"
LAB_PORT, REPORT_PORT = 8888, 5000
# The same code without CUDA's libraries is published for these machines only; elsewhere the full build serves.
CPU_ONLY = "sys_platform == 'linux' and platform_machine == 'x86_64'"


def free_port(first: int) -> int:
    """The first port from `first` on that nobody listens at, on loopback."""
    for port in range(first, first + 100):
        with socket.socket() as probe:
            # As servers bind: a port whose last connections are still fading away counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    message = f"expected a free port between {first} and {first + 99}, got none. Stop a server there."
    raise RuntimeError(message)


def lab() -> None:
    """Open JupyterLab at `notebooks/`; notebooks log to the workbench's store by themselves."""
    port = free_port(LAB_PORT)
    # Through the environment: a token on the command line could be read by every user of the machine.
    token = os.environ.setdefault("JUPYTER_TOKEN", secrets.token_urlsafe(24))
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    print(f"JupyterLab at {home() / 'notebooks'}: http://{HOST}:{port}/lab?token={token}")
    print(f"Notebooks log to the store {redact(store_uri())}, experiment '{INTERACTIVE}'.", flush=True)
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    options = ["--ip", HOST, "--port", str(port), "--ServerApp.port_retries=0", "--log-level=WARN", *root]
    _become("jupyter", "lab", *options, *sys.argv[2:], str(home() / "notebooks"))


def report() -> None:
    """Open MLflow's user interface, and say where its list of runs is."""
    client = open_store()
    latest = client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=1)
    experiment = latest[0].info.experiment_id if latest else experiment_id(client, INTERACTIVE)
    port = free_port(REPORT_PORT)
    print(f"MLflow runs: http://{HOST}:{port}/#/experiments/{experiment}/runs?workflowType=machine_learning")
    print(f"Showing the store {redact(store_uri())}; it answers within half a minute.", flush=True)
    # One worker serves one reviewer; the default of four costs memory and seconds at the start. So do processes for
    # jobs of language models, of which there are none here.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    options = ["--backend-store-uri", store_uri(), "--host", HOST, "--port", str(port), "--workers", "1"]
    _become("mlflow", "ui", *options, *sys.argv[2:])


def lock() -> None:
    """Resolve the dependencies of pyproject.toml for Python 3.11 and write `requirements.lock`."""
    target = home() / "requirements.lock"
    with locked(home() / "runs" / ".lock.lock"), tempfile.TemporaryDirectory() as folder:
        resolved = Path(folder) / "lock.txt"
        command = [tool("uv"), "pip", "compile", "--quiet", "--python-version", "3.11"]
        command += ["--extra", "dev", "--extra", "benchmarks", "--upgrade"]
        command += ["--no-annotate", "--no-header", "pyproject.toml", "-o", str(resolved)]
        subprocess.run(command, cwd=home(), check=True)
        text = portable(resolved.read_text(encoding="utf-8"))
        temporary = target.with_name(".requirements.lock.part")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    print(f"{target}: {len(text.splitlines())} lines. Run the tests before you commit it.")


def portable(resolved: str) -> str:
    """Take out what only this machine's indexes have: a build's local suffix, one platform's XGBoost.

    >>> print(portable("numpy==2.4.6\\ntorch==2.13.0+cpu\\nxgboost-cpu==3.2.0\\n"), end="")
    numpy==2.4.6
    torch==2.13.0
    xgboost-cpu==3.2.0 ; sys_platform == 'linux' and platform_machine == 'x86_64'
    xgboost==3.2.0 ; sys_platform != 'linux' or platform_machine != 'x86_64'
    """
    text = re.sub(r"^(\S+==[^\s+]+)\+\S+", r"\1", resolved, flags=re.M)
    other = CPU_ONLY.replace("==", "!=").replace(" and ", " or ")
    return re.sub(
        r"^xgboost(?:-cpu)?==(\S+)$", rf"xgboost-cpu==\1 ; {CPU_ONLY}\nxgboost==\1 ; {other}", text, flags=re.M
    )


def tool(name: str) -> str:
    """A program of this environment, or of PATH where the environment has none."""
    own = Path(sys.executable).with_name(name)
    return str(own) if own.is_file() else shutil.which(name) or name


def _become(program: str, *arguments: str) -> None:
    """Let the server take this process's place, so that Ctrl-C reaches it and nothing is left behind."""
    os.execv(tool(program), [tool(program), *arguments])  # noqa: S606  no shell is wanted


def main() -> None:
    """Open the door named on the command line."""
    {"lab": lab, "report": report, "lock": lock}[sys.argv[1]]()


if __name__ == "__main__":
    main()
