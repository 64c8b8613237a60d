"""Files in an object store, read from a real S3 server on loopback."""

import functools
import gzip
import http.server
import json
import threading
import traceback

import boto3
import httpx
import pandas as pd
import pytest

from stability import datasets
from stability.schema import ContractError
from stability.telemetry import read, read_with_report

TEXT = "timestamp,up\n2026-01-01T00:00:00Z,1\n2026-01-01T00:01:00Z,0\n"


@pytest.fixture
def guarded_s3_server(s3_server):
    """The server, now asking for credentials; gives those of a user that it knows."""
    iam = boto3.client("iam", endpoint_url=s3_server)
    iam.create_user(UserName="reader")
    rule = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
    iam.put_user_policy(UserName="reader", PolicyName="reads", PolicyDocument=policy)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    httpx.post(f"{s3_server}/moto-api/reset-auth", content="0")
    yield key["AccessKeyId"], key["SecretAccessKey"]
    httpx.post(f"{s3_server}/moto-api/reset-auth", content="inf")


@pytest.fixture
def bucket(s3_server):
    """A bucket with a few files; gives a function that puts one more."""
    client = boto3.client("s3", endpoint_url=s3_server)
    client.create_bucket(Bucket="fleet")
    frame = pd.DataFrame({"timestamp": pd.to_datetime(["2026-01-01T00:00Z"]), "up": [1.0]})

    def put(name, body=TEXT):
        client.put_object(Bucket="fleet", Key=name, Body=body if isinstance(body, bytes) else body.encode())

    put("day/web-1.csv")
    put("day/web-2.csv.gz", gzip.compress(TEXT.encode()))
    put("day/web-3.parquet", frame.to_parquet())
    yield put
    for item in client.list_objects_v2(Bucket="fleet").get("Contents", []):
        client.delete_object(Bucket="fleet", Key=item["Key"])


def test_one_object_a_glob_and_every_kind_of_file(bucket):
    panel, report = read_with_report("s3://fleet/day/*")
    assert panel.index.unique("entity").tolist() == ["web-1", "web-2", "web-3"]
    assert report.files["file"].tolist()[0] == "s3://fleet/day/web-1.csv"
    assert len(read("s3://fleet/day/web-1.csv")) == 2
    assert len(read(["s3://fleet/day/web-1.csv", "s3://fleet/**/*.parquet"])) == 3


def test_what_is_new_or_changed_is_seen_at_once(bucket):
    assert len(read("s3://fleet/day/*.csv")) == 2
    bucket("day/web-1.csv", TEXT + "2026-01-01T00:02:00Z,1\n")
    bucket("day/web-4.csv")
    assert read("s3://fleet/day/*.csv").groupby(level="entity").size().to_dict() == {"web-1": 3, "web-4": 2}


def told(source, **options):
    """The message of an error, after a look for secrets in all that a user might see of it."""
    with pytest.raises(ContractError) as caught:
        read(source, **options)
    everything = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "horse" not in everything
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("s3://fleet/day/web-9.csv", "did you mean 'web-1.csv'"),
        ("s3://fleet/night/*.csv", "at least one file that matches"),
        ("s3://fleet/day", "s3://fleet/day/*.csv"),
        ("s3://fleat/day/web-1.csv", "there is no folder"),
    ],
)
def test_what_is_not_there(bucket, source, words):
    assert words in told(source)


def test_damaged_objects_are_named(bucket):
    bucket("day/web-2.csv.gz", gzip.compress(TEXT.encode())[:-9])
    assert told("s3://fleet/day/web-2.csv.gz").startswith("s3://fleet/day/web-2.csv.gz: expected the end of a whole")


def test_endpoint_and_credentials_as_options(bucket, s3_server, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("FLEET_SECRET", "correct-horse")
    options = {"endpoint_url": s3_server, "key": "AKIAREADER", "secret": "${FLEET_SECRET}"}
    assert len(read("s3://fleet/day/web-1.csv", storage=options)) == 2
    assert "'${NAME}'" in told("s3://fleet/day/web-1.csv", storage={**options, "secret": "wrong-horse"})
    assert "NO_SUCH_VARIABLE" in told("s3://fleet/day/web-1.csv", storage={**options, "secret": "${NO_SUCH_VARIABLE}"})


def test_a_dataset_in_a_store_that_its_options_name(bucket, s3_server, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    bucket("faults.csv", "fault_id,entity,impact_start\nf1,web-1,2026-01-01T00:00:00Z\n")
    store = {"storage": {"endpoint_url": s3_server}}
    options = {"path": "s3://fleet/day/*.csv", "reader": store, "faults": {"path": "s3://fleet/faults.csv", **store}}
    tables = datasets.load("files", **options)
    assert (len(tables["telemetry"]), tables["faults"].index.tolist()) == (2, ["f1"])
    before = datasets.fingerprint("files", **options)
    bucket("day/web-1.csv", TEXT + "2026-01-01T00:02:00Z,1\n")
    assert datasets.fingerprint("files", **options) != before


def test_credentials_that_the_store_refuses(bucket, guarded_s3_server, monkeypatch):
    key, secret = guarded_s3_server
    monkeypatch.setenv("FLEET_SECRET", secret)
    good = {"key": key, "secret": "${FLEET_SECRET}"}
    assert len(read("s3://fleet/day/web-1.csv", storage=good)) == 2
    monkeypatch.setenv("FLEET_SECRET", "wrong-horse")
    said = told("s3://fleet/day/web-1.csv", storage=good)
    assert "credentials that the store accepts" in said
    assert "AWS_SECRET_ACCESS_KEY" in said
    assert "credentials that the store accepts" in told("s3://fleet/day/*.csv")


def test_no_credentials_at_all(bucket, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    said = told("s3://fleet/day/web-1.csv", storage={"skip_instance_cache": True})
    assert "Unable to locate credentials" in said
    assert "'anon': True" in said


def test_a_store_that_does_not_answer(bucket):
    # One attempt: the library's own pauses between five add up to seconds.
    once = {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"max_attempts": 0}}}
    said = told("s3://fleet/day/web-1.csv", storage=once)
    assert "a store that answers" in said
    assert "AWS_ENDPOINT_URL" in said


def test_addresses_are_shown_without_their_secrets():
    said = told("http://me:correct-horse@127.0.0.1:1/a.csv?X-Amz-Signature=horse")
    assert said.startswith("http://127.0.0.1:1/a.csv: expected a store that answers")


def test_a_password_in_an_address_reaches_neither_report_nor_remedy(tmp_path):
    (tmp_path / "web-1.csv").write_text(TEXT)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://me:correct-horse@127.0.0.1:{server.server_port}"
        try:
            _, report = read_with_report(f"{address}/web-*.csv")
            missing = told(f"{address}/none.csv")
        finally:
            server.shutdown()
            thread.join()
    assert report.files["file"].tolist() == [f"http://127.0.0.1:{server.server_port}/web-1.csv"]
    assert "there are: web-1.csv" in missing
