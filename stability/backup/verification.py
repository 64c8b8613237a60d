"""Whether a backup is whole: its checksums, then every file in it against its manifest."""

from __future__ import annotations

__all__ = ["verify"]

from stability.backup.archive import unpack
from stability.backup.manifest import Manifest
from stability.backup.places import Backup


def verify(backup: Backup, *, deep: bool = True) -> Manifest | None:
    """Verify a backup without restoring it.

    Parameters
    ----------
    backup : Backup
    deep : bool
        Whether the stream is read and each file in it hashed. Without it only the checksums of the files that hold
        the backup are compared, which finds every bit that was flipped since it was written.

    Returns
    -------
    Manifest or None
        None unless `deep`.

    Raises
    ------
    ContractError
        If it is not whole.
    """
    backup.repository.check(backup.name)
    if not deep:
        return None
    with backup.repository.opened(backup.name) as stream:
        return unpack(stream, backup.name)
