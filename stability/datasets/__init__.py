"""Which data exist, where they come from, whether they are intact, and how each becomes tables of the contract."""

from stability.datasets.catalogue import Dataset, catalogue, check, fetch, fingerprint, load, names
from stability.datasets.sources import cache, mirror

__all__ = ["Dataset", "cache", "catalogue", "check", "fetch", "fingerprint", "load", "mirror", "names"]
