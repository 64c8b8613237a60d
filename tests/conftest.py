"""What every test may use: the mirror of public data, real servers, and skips that are failures in CI."""

import contextlib
import gc
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Threads wait by spinning: more of them than cores take a hundred times as long. Numba's say how many PyTorch has.
    for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        os.environ[f"{library}_NUM_THREADS"] = "1"

import httpx
import hypothesis
import pytest

# A machine that is busy is slow, and a test that is slow is not wrong: no example has a time limit. How many examples
# there are is said here alone, but for tests of which one example takes a second: `make soak` tries many more.
for name, examples in {"workbench": 20, "soak": 500}.items():
    hypothesis.settings.register_profile(
        name, max_examples=examples, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
hypothesis.settings.load_profile("workbench")

CHECKOUT = Path(__file__).resolve().parents[1]
STEP = 15  # s, between the samples of the server's made-up history
START = 1_700_000_010  # Unix seconds, a multiple of STEP
SAMPLES = 12_000  # more than the 11,000 points that the server gives to one query
PASSWORD = "correct horse"  # protects nothing
BCRYPT = "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2"  # its hash, cost 5


def pytest_collection_modifyitems(items):
    """Tests of the testbed wait more than they work: they are spread, so that others work beside them till the end."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.name.replace("test_testbed", "test_") if here in item.path.parents else "~")


def pytest_collection_finish():
    """A million objects come with the imports and stay: no collection of garbage has to walk through them."""
    gc.freeze()


def missing(reason):
    """Skip, or fail where CI=true: there the CI script has installed everything."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{reason}; with CI=true nothing may be skipped", pytrace=False)
    pytest.skip(reason)


def require(program, package=None):
    """Path of a program on PATH; skips the test without it, fails it where CI=true."""
    path = shutil.which(program)
    if path is None:
        missing(f"{program} is not installed (Debian: apt-get install -y {package or program})")
    return path


@contextlib.contextmanager
def mounted(folder, size="8m"):
    """A small file system of its own in a folder; skips the test where this account may not mount one."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("only the superuser mounts a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session", name="require")
def require_fixture():
    """`require(program)` for tests that cannot import this file."""
    return require


@pytest.fixture(scope="session")
def data_mirror():
    """Folder of the public data, STABILITY_DATA_MIRROR or ../shared/data; sets the variable for the whole session."""
    folder = Path(os.environ.get("STABILITY_DATA_MIRROR") or CHECKOUT.parent / "shared" / "data").resolve()
    if not folder.is_dir():
        missing(f"no public data at {folder}; set STABILITY_DATA_MIRROR")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STABILITY_DATA_MIRROR", str(folder))
        yield folder


@dataclass
class Prometheus:
    """A server on loopback: its address, its credentials (None without), the grid of its history in Unix seconds."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    start: int = START
    step: int = STEP
    samples: int = SAMPLES


def free_port():
    """A port that nobody listens on, as the kernel chooses it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def history():
    """OpenMetrics text: two hosts' CPU with a gap of an hour, requests by code with a restart, special values."""
    yield "# TYPE cpu_ratio gauge"
    for host, level in (("a:9100", 0.25), ("b:9100", 0.5)):
        for k in range(SAMPLES):
            if (
                host == "b:9100" and 4_000 <= k < 4_240
            ):  # one hour without a sample, far beyond the five minutes' lookback
                continue
            yield f'cpu_ratio{{job="node",instance="{host}"}} {level + (k % 100) / 1000} {START + k * STEP}'
    yield "# TYPE requests counter"
    for code, slope in (("200", 3), ("500", 1)):
        for k in range(SAMPLES):
            yield f'requests_total{{job="web",instance="w:80",code="{code}"}} {slope * (k % 6_000)} {START + k * STEP}'
    yield "# TYPE special gauge"
    for k, value in enumerate(("1.5", "NaN", "+Inf", "-Inf", "2.5")):
        yield f'special{{job="node",instance="a:9100"}} {value} {START + k * STEP}'
    yield "# TYPE nolabels gauge"
    for k in range(10):
        yield f"nolabels {k} {START + k * STEP}"
    yield "# EOF"


def start_prometheus(folder, data, *extra):
    """Start a server over the blocks in `data` and wait until it answers; returns the process and its address."""
    config = folder / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1h}\n")
    port = free_port()
    log = folder / f"prometheus-{port}.log"
    # Where there is setpriv (Linux), the server does not outlive a killed test run.
    leash = [shutil.which("setpriv"), "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    command = [
        *leash,
        require("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
        *extra,
    ]
    with log.open("w") as lines:
        process = subprocess.Popen(command, stdout=lines, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            # 401 means that the server is up and wants a password.
            if httpx.get(f"{url}/-/ready", timeout=1).status_code in (200, 401):
                return process, url
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise RuntimeError("Prometheus did not start:\n" + log.read_text()[-2_000:])


def stop(process):
    """End a server that this session started."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def prometheus_blocks(tmp_path_factory):
    """A folder of Prometheus blocks that hold `history()`."""
    promtool = require("promtool", package="prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    sample = folder / "history.om"
    sample.write_text("\n".join(history()) + "\n")
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", sample, folder / "data"],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="session")
def prometheus_server(prometheus_blocks):
    """A real Prometheus on loopback without credentials: see `Prometheus` and `history`."""
    process, url = start_prometheus(prometheus_blocks, prometheus_blocks / "data")
    yield Prometheus(url)
    stop(process)


@pytest.fixture(scope="session")
def locked_prometheus_server(prometheus_blocks, tmp_path_factory):
    """The same history behind basic authentication."""
    folder = tmp_path_factory.mktemp("locked")
    shutil.copytree(
        prometheus_blocks / "data", folder / "data", ignore=shutil.ignore_patterns("lock", "wal", "chunks_head")
    )
    (folder / "web.yml").write_text(f"basic_auth_users:\n  reader: {BCRYPT}\n")
    process, url = start_prometheus(folder, folder / "data", f"--web.config.file={folder / 'web.yml'}")
    yield Prometheus(url, "reader", PASSWORD)
    stop(process)


@dataclass
class Postgres:
    """A PostgreSQL on loopback in a scratch folder, and the account that owns it."""

    port: int
    user: str = "tester"
    password: str = field(default="correct-horse", repr=False)  # protects nothing
    command: list = field(default_factory=list, repr=False)
    folder: Path = None
    process: subprocess.Popen = field(default=None, repr=False)

    def url(self, database="postgres"):
        """SQLAlchemy's address of a database."""
        return f"postgresql+psycopg://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database):
        """Make an empty database and return its address."""
        import psycopg

        address = f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f'create database "{database}"')
        return self.url(database)

    def start(self):
        """Start it and wait until it answers."""
        import psycopg

        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.folder)
        for _ in range(600):
            try:
                psycopg.connect(self.url().replace("+psycopg", "")).close()
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None:
                    said = (self.folder / "log").read_text()[-2_000:]
                    raise RuntimeError("PostgreSQL did not start:\n" + said) from None
                time.sleep(0.05)

    def stop(self):
        """Stop it; open connections are cut."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=20)


@contextlib.contextmanager
def a_postgres():
    """A real PostgreSQL on loopback in a scratch folder; root hands it to another user, as the server demands."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [shutil.which("initdb")]
    if not found[-1]:
        missing("PostgreSQL is not installed (Debian: apt-get install -y postgresql)")
    programs = Path(found[-1]).parent
    # Not below pytest's own folders, which other users may not enter.
    server = Postgres(free_port(), folder=Path(tempfile.mkdtemp(prefix="postgres-")))
    secret = server.folder / "password"
    secret.write_text(server.password)
    become = []
    if os.geteuid() == 0:
        for path in (server.folder, secret):
            shutil.chown(path, "postgres", "postgres")
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL"]
    data = server.folder / "data"
    subprocess.run(
        [*become, programs / "initdb", "-D", data, "-U", server.user, "--pwfile", secret, "-A", "scram-sha-256", "-N"],
        check=True,
        capture_output=True,
        cwd=server.folder,
    )
    settings = {"listen_addresses": "127.0.0.1", "port": server.port, "unix_socket_directories": "", "fsync": "off"}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    server.command = [*become, programs / "postgres", "-D", data, *options]
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server():
    """A real PostgreSQL for the whole session: see `Postgres`."""
    with a_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def s3_endpoint():
    """Address of an S3 server on loopback (moto), in a thread of this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3_server(s3_endpoint, monkeypatch):
    """That address, with the environment that lets fsspec and boto3 find it."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "AKIAREADER",
        "AWS_SECRET_ACCESS_KEY": "correct-horse",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    return s3_endpoint


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A store without experiments: making one takes seconds, copying it none."""
    import mlflow

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


def environment_given_back():
    """Leave the environment as it was: `mlflow.set_tracking_uri` writes into it, in a test and in a fixture."""
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "STABILITY_HOME")
    before = {name: os.environ.get(name) for name in names}
    yield
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


# Once around a test, and once around a file, whose own fixtures come before the first and go after the last test of it.
_around_a_test = pytest.fixture(autouse=True)(environment_given_back)
_around_a_file = pytest.fixture(autouse=True, scope="module")(environment_given_back)


@pytest.fixture
def workbench(tmp_path, monkeypatch, empty_store):
    """A workbench of its own, with a store; `STABILITY_HOME` points at it."""
    from workbenches import Workbench

    made = Workbench(tmp_path / "workbench")
    shutil.copy(empty_store, made.folder / "mlflow.db")
    monkeypatch.setenv("STABILITY_HOME", str(made.folder))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.fixture
def forked_kernels(monkeypatch):
    """Nights of this process fork their kernels: see `forking`."""
    from forking import Forked
    from jupyter_client.provisioning import local_provisioner

    monkeypatch.setattr(local_provisioner, "launch_kernel", lambda command, **options: Forked(command, **options))


@pytest.fixture
def supervisor():
    """A server that answers as the testbed's supervisor does, for `web-0` to `web-3`, too, and keeps what it hears."""
    from repairing import Supervisor  # imports what repairs

    server = Supervisor()
    server.processes |= {f"web-{k}": {"port": 0} for k in range(4)}
    yield server
    server.close()
