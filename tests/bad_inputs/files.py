"""Telemetry files that are broken, mislabelled, in another encoding, or say something that cannot be."""

import io
import os
import sqlite3
import tempfile
import zipfile
from pathlib import Path

import pandas as pd

from bad_inputs.cases import HEADER, ROWS, Case, good_rows, parquet, seeded, text, zipped
from stability.telemetry import read_with_report

__all__ = ["FILES"]

FILES: list[Case] = []


def add(name, content, *says, file="cpu.csv", repaired=None, **options):
    """A file with this content, read with these options."""

    def prepare(folder):
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content() if callable(content) else content)
        return lambda: read_with_report(path, **options)

    FILES.append(Case(f"file-{name}", prepare, (Path(file).name, *says) if repaired is None else (), repaired))


def place(name, prepare, *says):
    """Something that is no file, or no good way to name one."""
    FILES.append(Case(f"place-{name}", prepare, says))


def cell(name, row, column, value, *says, header=HEADER, repaired=None, **options):
    """The good file with one cell exchanged."""
    rows = good_rows()
    rows[row][header.index(column)] = value
    add(name, text(rows), f"row {row + 1}", f"column '{column}'", *says, repaired=repaired, **options)


# Empty in every way in which a file can be.
NOTHING = {
    "empty": b"",
    "newline": b"\n",
    "blanks": b" \t\r\n \n",
    "mark": b"\xef\xbb\xbf",
    "marked": b"\xef\xbb\xbf\r\n",
}
for kind, content in NOTHING.items():
    add(f"nothing-{kind}-csv", content, "an empty file")
    add(f"nothing-{kind}-gz", zipped(content), "an empty file", file="cpu.csv.gz")
    add(f"nothing-{kind}-parquet", content, "an empty file", file="cpu.parquet")

# A header without rows.
HEAD = ",".join(HEADER).encode()
for kind, content in {
    "cut": HEAD,
    "line": HEAD + b"\n",
    "blank": HEAD + b"\r\n\r\n",
    "tabs": b"\t".join(HEAD.split(b",")),
}.items():
    add(f"header-{kind}", content, "a header alone")
    add(f"header-{kind}-gz", zipped(content), "a header alone", file="cpu.csv.gz")
add("header-parquet", lambda: parquet(pd.DataFrame(columns=HEADER)), "a header alone", file="cpu.parquet")

# Cut short, at every kind of place.
rng = seeded("cut")
lines = text().splitlines(keepends=True)
for k in range(10):
    row = rng.randrange(1, ROWS)
    kept = rng.randrange(1, lines[row].rindex(b","))
    kept = min(kept, lines[row].rindex(b",", 0, len(lines[row]) - 1) - 1) or 1
    add(f"cut-csv-{k}", b"".join(lines[:row]) + lines[row][:kept], f"row {row}", "cells as in the header")
for k, kept in enumerate([*sorted(rng.sample(range(12, len(zipped(text())) - 1), 9)), len(zipped(text())) - 1]):
    add(f"cut-gzip-{k}", zipped(text())[:kept], "cut short or damaged", "fetch it again", file="cpu.csv.gz")
for k in range(10):
    share = rng.random()
    add(
        f"cut-parquet-{k}",
        lambda share=share: parquet()[: 4 + int(share * (len(parquet()) - 5))],
        "cut short or damaged",
        file="cpu.parquet",
    )
add("cut-parquet-magic", b"PAR1", "cut short or damaged", file="cpu.parquet")
add("cut-parquet-magics", b"PAR1PAR1", "cut short or damaged", file="cpu.parquet")
add("parquet-long-footer", lambda: parquet()[:-8] + b"\xff\xff\xff\x7fPAR1", "cut short or damaged", file="a.parquet")
add("gzip-crc", zipped(text())[:-8] + b"\0\0\0\0" + zipped(text())[-4:], "cut short or damaged", file="cpu.csv.gz")
add("gzip-tail", zipped(text()) + b"tail", "cut short or damaged", file="cpu.csv.gz")
add("gzip-of-gzip", zipped(zipped(text())), "cpu", file="cpu.csv.gz")


# Binary things under a text's name.
def workbook():
    """The beginning of an Excel workbook: people rename what they mean to export."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("[Content_Types].xml", "<Types/>")
        packed.writestr("xl/worksheets/sheet1.xml", "<worksheet/>")
    return buffer.getvalue()


def database():
    """A real SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(f"{folder}/x.db")
        connection.execute("create table cpu (timestamp text, value real)")
        connection.commit()
        connection.close()
        return (Path(folder) / "x.db").read_bytes()


def archive():
    """A zip with the file that was meant."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("cpu.csv", text())
    return buffer.getvalue()


rng = seeded("binary")
for k in range(6):
    add(f"binary-{k}", rng.randbytes(rng.randrange(40, 4000)), "UTF-8")
BINARY = {
    "png": b"\x89PNG\r\n\x1a\n" + rng.randbytes(200),
    "elf": b"\x7fELF\x02\x01\x01" + bytes(9) + rng.randbytes(99),
    "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
    "zeros": bytes(4096),
    "bz2": b"BZh91AY&SY\xfe\x10",
    "zstd": b"\x28\xb5\x2f\xfd" + rng.randbytes(50),
    "arrow": b"ARROW1\0\0" + rng.randbytes(100),
}
for kind, content in BINARY.items():
    add(f"binary-{kind}", content, "expected CSV in UTF-8, plain or gzip, or Parquet")
add("binary-xlsx", workbook, "Excel")
add("binary-sqlite", database, "SQLite")
add("binary-zip", archive, "zip")
add("html", b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n", "HTML")
add("json", b'{"status": "error", "message": "no access"}\n', "a column of timestamps", "'message'")
add("json-lines", b'{"timestamp": "2026-01-01T00:00:00Z", "cpu": 1}\n' * 3 + b'{"timestamp": "2026-', "a whole JSON")
add("lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS")
add("prose", b"Dear all,\nplease find the data attached.\n", "a column of timestamps")

# Encodings.
KOELN = text([[*row[:1], "K\u00f6ln", *row[2:]] for row in good_rows()]).decode()
for code in ("latin-1", "cp1252", "utf-16-le", "utf-16-be", "utf-32"):
    add(
        f"encoding-{code}",
        KOELN.encode(code),
        "UTF-8",
        "iconv" if code[:3] != "utf" else "UTF-16" if "16" in code else "",
    )
LONG = text(good_rows(4_000))
add("encoding-late-latin-1", LONG.replace(b"web-1,0.99", b"K\xf6ln,0.99"), "UTF-8")
add("nul-in-number", text().replace(b"0.30", b"0.\x000", 1), "no text")
add("nul-in-name", text().replace(b"web-1", b"web\x00", 1), "no text")
add("nul-late", LONG.replace(b",web-1,40.00,", b",web\x001,40.00,"), "no text")

# Rows and columns that do not fit each other.
rng = seeded("ragged")
for k in range(8):
    rows, row = good_rows(), rng.randrange(ROWS)
    rows[row] = rows[row] + ["7"] * rng.randrange(1, 4) if k % 2 else rows[row][: rng.randrange(1, 4)]
    add(f"ragged-{k}", text(rows), f"row {row + 1}", "4 cells as in the header")
add("quote-open", text().replace(b"web-1", b'"web-1', 1), "quote")
add("newlines-only-in-quotes", b'timestamp,cpu\n"2026-01-01T00:00:00Z\n2026-01-02T00:00:00Z",1\n', "row 1", "timestamp")
for kind, header in {
    "two": ["timestamp", "host", "cpu_ratio", "cpu_ratio"],
    "blank": ["timestamp", "host", "cpu_ratio", " cpu_ratio "],
    "all": ["timestamp"] * 4,
}.items():
    add(f"doubled-{kind}", text(header=header), "each column once", "rename one")
add("nameless", text(header=[*HEADER[:2], "", *HEADER[3:]]), "None}")
add("no-time", text(header=["when", *HEADER[1:]]), "a column of timestamps", "timestamp='...'")
add("no-header", text()[len(HEAD) + 1 :], "a column of timestamps")
add("two-times", text(header=["time", "date", *HEADER[2:]]), "one column of timestamps", "'time', 'date'")
add("two-hosts", text(header=["timestamp", "host", "node", "memory_bytes"]), "one column of entities")
add("only-time", b"timestamp\n2026-01-01T00:00:00Z\n", "at least one column with a metric")
add("only-time-and-host", b"timestamp,host\n2026-01-01T00:00:00Z,a\n", "at least one column with a metric")
add("separator", text(separator="~"), "a column of timestamps")
add("comment-first", b"# exported by monitor 3.1\n" + text(), "a column of timestamps")
add("long-with-more", b"timestamp,metric,value,unit\n2026-01-01T00:00:00Z,cpu,1,s\n", "'unit': None")
add("long-without-value", b"timestamp,metric,reading\n2026-01-01T00:00:00Z,cpu,1\n", "value='...'")

# Stamps.
rng = seeded("stamps")
STAMPS = {
    "naive": ("2026-01-01 00:05:00", "timezone="),
    "year-0": ("0000-01-01T00:00:00Z", "ISO 8601"),
    "mysql-zero": ("0000-00-00 00:00:00", "ISO 8601"),
    "year-10000": ("10000-01-01T00:00:00Z", "ISO 8601"),
    "month-13": ("2026-13-01T00:00:00Z", "ISO 8601"),
    "february-30": ("2026-02-30T00:00:00Z", "ISO 8601"),
    "hour-25": ("2026-01-01T25:00:00Z", "ISO 8601"),
    "offset-99": ("2026-01-01T00:00:00+99:00", "ISO 8601"),
    "slashes": ("01/02/2026 00:05", "timestamp_format"),
    "words": ("yesterday", "ISO 8601"),
    "now": ("now", "ISO 8601"),
    "empty": ("", "an empty cell"),
    "nan": ("NaN", ""),
    "year": ("2026", "ISO 8601"),
    "time-alone": ("12:30:00", "ISO 8601"),
    "excel-serial": ("46023.5", "ISO 8601"),
    "script": ("__import__('os').system('touch pwned')", "ISO 8601"),
}
for kind, (value, said) in STAMPS.items():
    cell(f"stamp-{kind}", rng.randrange(1, ROWS), "timestamp", value, said)
EPOCHS = {
    "days": 20_454,
    "minutes": 29_453_760,
    "excel": 46_023,
    "compact": 20_260_101,
    "negative": -5,
    "zero": 0,
    "huge": 10**30,
    "far": 99_999_999_999_999_999_999,
}
for kind, first in EPOCHS.items():
    add(f"epoch-{kind}", f"timestamp,cpu\n{first},1\n{first + 60},2\n".encode(), "row 1", "epoch", "timestamp_format")
add("epoch-mixed", b"timestamp,cpu\n1767225600,1\n1767225600000,2\n", "row 2", "epoch time in s")
add("epoch-then-text", b"timestamp,cpu\n1767225600,1\n2026-01-01T00:00:00Z,2\n", "row 2", "a number")
add("epoch-named-wrong", b"timestamp,cpu\n1767225600000000,1\n", "row 1", timestamp_format="s")
add("pattern-wrong", text(), "timestamp_format", timestamp_format="%Q")
add("pattern-unfit", text(), "row", "%d.%m.%Y", timestamp_format="%d.%m.%Y")
NIGHT = "timestamp,cpu\n" + "".join(
    f"2026-{d} {h}:30:00,{k}\n"
    for k, (d, h) in enumerate(
        [("03-28", "01"), ("03-29", "02"), ("10-25", "01"), ("10-25", "02"), ("10-25", "02"), ("10-26", "01")]
    )
)
SPRING, AUTUMN = (
    NIGHT[: NIGHT.index("2026-10")].encode(),
    ("timestamp,cpu\n" + NIGHT[NIGHT.index("2026-10") :]).encode(),
)
add("clock-skipped", SPRING, "row 2", "summer time skipped it", "shift_forward", timezone="Europe/Berlin")
add("clock-twice", AUTUMN, "rows 2, 3", "it came twice", "ambiguous=", timezone="Europe/Berlin")
add(
    "clock-unclear",
    AUTUMN.replace(b"2026-10-25 02:30:00,4\n", b""),
    "row 2",
    timezone="Europe/Berlin",
    ambiguous="infer",
)
ZONED = {"timezone": "Europe/Berlin", "nonexistent": "shift_forward"}
add("clock-shifted", SPRING, repaired={"nonexistent": 1}, **ZONED)
add("clock-inferred", AUTUMN, repaired={"ambiguous": 2}, ambiguous="infer", **ZONED)
for k in range(4):
    rows, row = good_rows(), rng.randrange(1, ROWS)
    rows[row][0] = rows[row - 1][0]
    add(f"duplicate-{k}", text(rows), f"row {row + 1}", "one row for each", "duplicates=")
    add(
        f"duplicate-{k}-repaired",
        text(rows),
        repaired={"duplicates": 2},
        duplicates=("first", "last", "mean", "mean")[k],
    )
for k in range(3):
    rows, row = good_rows(), rng.randrange(1, ROWS)
    rows[row], rows[row - 1] = rows[row - 1], rows[row]
    add(f"unsorted-{k}", text(rows), f"row {row + 1}", "stamps that increase", unsorted="error")
    add(f"unsorted-{k}-repaired", text(rows), repaired={"out_of_order": 2})

# Cells that are no numbers.
rng = seeded("cells")
CELLS = [
    "abc",
    "1,5",
    "1.234,5",
    "12%",
    "5ms",
    "1 234",
    "$5",
    "#REF!",
    "#DIV/0!",
    "0x1F",
    "1_000",
    "\u00bd",
    "1.2.3",
    "++1",
    "1e",
    "2026-01-01",
    "true",
    "[1]",
    "{}",
    "1;2",
    "=1+1",
    "=cmd|'/c calc'!A0",
    "__import__('os').system('touch pwned')",
    "\u0661\u0662",
    "1\u00a0000",
    "\u22125",
    "0.5\u200b",
    "'0.5",
    "<script>alert(1)</script>",
    "1j",
]
for k, value in enumerate(CELLS):
    quoted = f'"{value}"' if "," in value else value
    cell(f"cell-{k}", rng.randrange(ROWS), rng.choice(HEADER[2:]), quoted, "a number", "correct the cell")
for k, value in enumerate(["inf", "-Inf", "Infinity", "1e400", "-1e999"]):
    cell(f"infinite-{k}", rng.randrange(ROWS), "cpu_ratio", value, "a finite number", "infinite='missing'")
    cell(
        f"infinite-{k}-repaired", rng.randrange(ROWS), "cpu_ratio", value, repaired={"infinite": 1}, infinite="missing"
    )
cell("decimal-comma", 4, "cpu_ratio", '"0,5"', "decimal=','")
add("decimal-both", b"timestamp;cpu\n2026-01-01T00:00:00Z;1.234,5\n", "row 1", "a number", decimal=",")
cell("host-empty", 6, "host", "", "an entity's name", "complete the row")
cell("cell-10-megabytes", 3, "cpu_ratio", "x" * 10_000_000, "a number")
cell("stamp-10-megabytes", 3, "timestamp", "x" * 10_000_000, "ISO 8601")

# Names that no metric can have; some would do harm where a name is run as code.
NAMES = [
    "cpu %",
    "cpu.usage",
    "2xx",
    "__import__('os').system('touch pwned')",
    "a b",
    "caf\u00e9",
    "=cmd|'/c calc'!A0",
    "../../etc/x",
    "cpu-ratio",
    "cpu{mode='idle'}",
    "\U0001f525",
    "'; drop table runs; --",
    "$(touch pwned)",
    "`touch pwned`",
    "{0.__class__}",
    "%s%s%n",
    "\u202ecpu",
    "x" * 100_000 + "-",
]
for k, name in enumerate(NAMES):
    add(f"name-{k}", text(header=[*HEADER[:2], f'"{name}"', HEADER[3]]), "a metric's name", "columns=")
add("name-index", text(header=["time", "host", "timestamp_", "entity"]), "cpu.csv", columns={"timestamp_": "timestamp"})
WIDE = ["timestamp", *(f"cpu {k}" for k in range(10_000))]
add("columns-10000", text([[good_rows()[0][0], *(["1"] * 10_000)]], WIDE), "a metric's name", "columns=")
add("columns-10000-doubled", text([[good_rows()[0][0], *(["1"] * 10_000)]], [*WIDE[:-1], "cpu 0"]), "each column once")
add("two-become-one", text(), "one column a metric", columns={"cpu_ratio": "x", "memory_bytes": "x"})

# Parquet that is whole and yet no telemetry.
STAMP = pd.Timestamp("2026-01-01", tz="UTC")
FRAMES = {
    "lists": {"timestamp": [STAMP], "cpu": [[1.0, 2.0]]},
    "structs": {"timestamp": [STAMP], "cpu": [{"a": 1}]},
    "bytes": {"timestamp": [STAMP], "cpu": [b"\x00\x01"]},
    "dates": {"timestamp": [STAMP], "cpu": [pd.Timestamp("2026-01-01")]},
    "flags-as-stamps": {"timestamp": [True], "cpu": [1.0]},
    "lists-as-stamps": {"timestamp": [[1]], "cpu": [1.0]},
    "no-stamp": {"timestamp": [pd.NaT], "cpu": [1.0]},
    "naive": {"timestamp": [pd.Timestamp("2026-01-01")], "cpu": [1.0]},
    "all-null": {"timestamp": [None], "cpu": [None]},
    "infinite": {"timestamp": [STAMP], "cpu": [float("-inf")]},
    "host-lists": {"timestamp": [STAMP], "host": [["a"]], "cpu": [1.0]},
    "host-null": {"timestamp": [STAMP], "host": [None], "cpu": [1.0]},
}
for kind, columns in FRAMES.items():
    add(f"parquet-{kind}", lambda columns=columns: parquet(pd.DataFrame(columns)), file="cpu.parquet")

# Options that cannot be.
OPTIONS = {
    "layout": ("tall", "wide"),
    "duplicates": ("mean_", "mean"),
    "unsorted": ("sorted", "sort"),
    "infinite": ("drop", "missing"),
    "ambiguous": ("early", "earlier"),
    "nonexistent": ("forward", "shift_forward"),
    "decimal": (";", ","),
    "columns": (["cpu"], "mapping"),
    "scale": ({"cpu_ratio": 0}, "a factor"),
    "entity": ("{foo}", "template"),
    "timestamp": ("tiem", "timestamps"),
    "metric": ("name", "metric names"),
    "value": ("reading", "values"),
}
for kind, (value, said) in OPTIONS.items():
    FILES.append(Case(f"option-{kind}", lambda folder, o={kind: value}: _good(folder, **o), (kind, said)))
MORE = {
    "unknown": ({"timezon": "UTC"}, "did you mean 'timezone'"),
    "columns-unmet": ({"columns": {"cpu_rato": "x"}, "timezone": "UTC"}, "did you mean 'cpu_ratio'"),
    "scale-unmet": ({"scale": {"memory_byte": 2}, "timezone": "UTC"}, "did you mean 'memory_bytes'"),
    "scale-nan": ({"scale": {"cpu_ratio": float("nan")}}, "a factor"),
    "scale-text": ({"scale": {"cpu_ratio": "0.01"}}, "a factor"),
    "scale-flag": ({"scale": {"cpu_ratio": True}}, "a factor"),
    "entity-attribute": ({"entity": "{stem.__class__.__mro__}"}, "template"),
    "entity-width": ({"entity": "{stem:>999999999999}"}, "template"),
    "entity-index": ({"entity": "{0}"}, "template"),
    "entity-open": ({"entity": "{stem"}, "template"),
    "columns-number": ({"columns": {"cpu_ratio": 5}}, "metric's name"),
    "columns-list": ({"columns": {"cpu_ratio": ["a"]}}, "metric's name"),
    "layout-list": ({"layout": ["wide"]}, "one of auto, wide, long"),
    "timestamp-number": ({"timestamp": 0}, "timestamp"),
    "timezone-unknown": ({"timezone": "Europe/Berln"}, "did you mean 'Europe/Berlin'"),
    "timezone-path": ({"timezone": "../../etc/passwd"}, "an IANA time zone"),
    "timezone-number": ({"timezone": 2}, "timezone"),
    "timezone-empty": ({"timezone": ""}, "timezone"),
    "format-number": ({"timestamp_format": 5}, "timestamp_format"),
    "storage-text": ({"storage": "key"}, "storage"),
}
for kind, (options, said) in MORE.items():
    FILES.append(Case(f"option-{kind}", lambda folder, o=options: _good(folder, **o), (said,)))


def _good(folder, **options):
    """A file without offsets, so that the zone matters too."""
    (folder / "cpu.csv").write_bytes(text().replace(b"Z,", b","))
    return lambda: read_with_report(folder / "cpu.csv", **options)


# What is no file.
def _loop(folder):
    (folder / "loop.csv").symlink_to("loop.csv")
    return lambda: read_with_report(folder / "loop.csv")


def _dangling(folder):
    (folder / "cpu.csv").symlink_to("gone.csv")
    return lambda: read_with_report(folder / "cpu.csv")


def _pipe(folder):
    os.mkfifo(folder / "pipe.csv")
    return lambda: read_with_report(folder / "pipe.csv")


def _folder(folder):
    (folder / "data.csv").mkdir()
    return lambda: read_with_report(folder / "data.csv")


def _many(folder):
    for name, content in {"a.csv": text(), "b.csv": b"", "c.csv": b"\xff\xfe", "d.csv": HEAD}.items():
        (folder / name).write_bytes(content)
    return lambda: read_with_report(folder / "*.csv")


def _same_stems(folder):
    for name in ("x/cpu.csv", "y/cpu.csv"):
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(b"timestamp,cpu\n2026-01-01T00:00:00Z,1\n")
    return lambda: read_with_report(folder / "*" / "cpu.csv")


def _overlap(folder):
    for name in ("a.csv", "b.csv"):
        (folder / name).write_bytes(text())
    return lambda: read_with_report([folder / "a.csv", folder / "b.csv"])


def _overlap_repaired(folder):
    for name in ("a.csv", "b.csv"):
        (folder / name).write_bytes(text())
    return lambda: read_with_report([folder / "a.csv", folder / "b.csv"], duplicates="first")


def _locked(folder):
    """A file that we may not read; root gives its rights away for the call."""
    away = Path(tempfile.mkdtemp(prefix="locked-"))
    away.chmod(0o755)
    (away / "cpu.csv").write_bytes(text())
    (away / "cpu.csv").chmod(0)

    def call():
        before = os.geteuid()
        if before == 0:
            os.seteuid(65_534)
        try:
            return read_with_report(away / "cpu.csv")
        finally:
            if before == 0:
                os.seteuid(0)
            (away / "cpu.csv").unlink()
            away.rmdir()

    return call


def _named(source, **options):
    return lambda folder: lambda: read_with_report(source, **options)


def _nearly(folder):
    (folder / "servers.csv").write_bytes(text())
    return lambda: read_with_report(folder / "server.csv")


def _one_of_many(folder):
    (folder / "cpu.csv").write_bytes(text())
    return lambda: read_with_report([folder / "cpu.csv", folder / "cpu"])


place("missing", lambda folder: lambda: read_with_report(folder / "gone.csv"), "gone.csv", "a file")
place("missing-near", _nearly, "did you mean 'servers.csv'")
place("missing-folder", lambda folder: lambda: read_with_report(folder / "no" / "x.csv"), "x.csv", "there is no folder")
place("one-of-many-missing", _one_of_many, "/cpu:", "did you mean")
place("glob-without-match", lambda folder: lambda: read_with_report(folder / "*.csv"), "at least one file that matches")
place("glob-open", lambda folder: lambda: read_with_report(folder / "[.csv"), "[.csv")
place("folder", _folder, "data.csv", "a folder", "/*.csv")
place("loop", _loop, "loop.csv", "symbolic link")
place("dangling", _dangling, "cpu.csv", "symbolic link")
place("pipe", _pipe, "pipe.csv", "pipe")
place("device", _named("/dev/zero"), "/dev/zero", "device")
place("no-permission", _locked, "cpu.csv", "ermission")
place("many-errors", _many, "3 of 4 files", "b.csv", "c.csv", "d.csv")
place("same-stems", _same_stems, "entity='{parent}/{stem}'")
place("two-files-one-moment", _overlap, "a.csv", "b.csv", "duplicates=")
FILES.append(Case("place-two-files-repaired", _overlap_repaired, repaired={"duplicates": 2 * ROWS}))
place("protocol-unknown", _named("foo://bucket/cpu.csv"), "foo://bucket/cpu.csv", "protocol")
place("protocol-refused", _named("http://127.0.0.1:9/cpu.csv"), "http://127.0.0.1:9/cpu.csv")
place("nothing", _named([]), "an empty list")
place("blank", _named(""), "a path")
place("nul", _named("a\0b.csv"), "b.csv")
place("name-too-long", _named("x" * 5_000 + ".csv"), "a file")
place("number", _named(5), "a path")
place("none", _named(None), "a path")
place("list-of-none", _named([None]), "a path")
place("bytes", _named(b"cpu.csv"), "a path")
place("no-such-user", _named("~nobody-here/cpu.csv"), "nobody-here")
