"""Which data exist, where they come from, whether they are intact, and how each becomes tables of the contract."""

from stability.datasets.catalogue import (
    LIVE,
    Dataset,
    catalogue,
    check,
    fetch,
    fingerprint,
    load,
    names,
    reach,
    rehearse,
    snapshot,
)
from stability.datasets.snapshots import Snapshot, erasures
from stability.datasets.sources import cache, mirror

__all__ = [
    "LIVE",
    "Dataset",
    "Snapshot",
    "cache",
    "catalogue",
    "check",
    "erasures",
    "fetch",
    "fingerprint",
    "load",
    "mirror",
    "names",
    "reach",
    "rehearse",
    "snapshot",
]
