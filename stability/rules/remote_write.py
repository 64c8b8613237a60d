"""Samples as Prometheus's remote write takes them: the one way in that carries staleness markers at their own times.

`promtool tsdb create-blocks-from openmetrics` has no text for a marker: a series that ends there is still found for the
lookback, which a scraped one is not.

References
----------
Prometheus documentation, "Prometheus Remote-Write 1.0 specification".
https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

__all__ = ["batches", "snappy"]

from collections.abc import Iterator, Sequence

import numpy as np

from stability.rules.history import Series
from stability.rules.vectors import Labels
from stability.schema import ContractError

STALE = np.uint64(0x7FF0000000000002)  # the NaN that is a marker (model/value/value.go)
SPAN = 1_800_000_000  # us in one request: a server's head takes nothing that is an hour older than its newest sample
_SAMPLE = np.dtype([("tag", "u1", 2), ("value_tag", "u1"), ("value", "<u8"), ("time_tag", "u1"), ("time", "u1", 6)])
_EARLIEST, _LATEST = 2**35, 2**42  # ms: 1971 to 2109, whose varints have six bytes


def batches(series: Sequence[Series]) -> Iterator[bytes]:
    """Make the bodies of requests, in the order in which they are to be sent.

    Parameters
    ----------
    series : sequence of Series
        Times from 1971 to 2109.

    Yields
    ------
    bytes
        A `WriteRequest`, compressed.
    """
    stamps = np.unique(np.concatenate([one.times for one in series])) if series else np.empty(0, dtype=np.int64)
    at = 0
    while at < len(stamps):
        first = stamps[at]
        at = int(np.searchsorted(stamps, first + SPAN, "left"))
        parts = []
        for one in series:
            a, b = np.searchsorted(one.times, [first, first + SPAN], "left")
            if a < b:
                parts.append(_field(1, _labels(one.labels) + _samples(one, a, b)))
        yield snappy(b"".join(parts))


def snappy(body: bytes) -> bytes:
    """Write bytes in snappy's block format, uncompressed: one literal.

    Examples
    --------
    >>> snappy(b"abc")
    b'\\x03\\xfc\\x02\\x00\\x00\\x00abc'
    """
    if not body:
        return b"\x00"
    return _varint(len(body)) + bytes([63 << 2]) + (len(body) - 1).to_bytes(4, "little") + body


def _samples(one: Series, a: int, b: int) -> bytes:
    milliseconds = one.times[a:b] // 1_000
    if milliseconds[0] < _EARLIEST or milliseconds[-1] >= _LATEST:
        raise ContractError(expected="samples from 1971 to 2109", got=f"one at {milliseconds[0]} ms since 1970")
    made = np.zeros(b - a, dtype=_SAMPLE)
    made["tag"] = (2 << 3 | 2, _SAMPLE.itemsize - 2)
    made["value_tag"], made["time_tag"] = 1 << 3 | 1, 2 << 3
    made["value"] = np.where(one.stale[a:b], STALE, one.values[a:b].view(np.uint64))
    shifts = np.arange(6) * 7
    made["time"] = (milliseconds[:, None] >> shifts & 0x7F) | np.where(shifts < 35, 0x80, 0)
    return made.tobytes()


def _labels(labels: Labels) -> bytes:
    texts = ((name.encode(), text.encode()) for name, text in labels)
    return b"".join(_field(1, _field(1, name) + _field(2, text)) for name, text in texts)


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])
