"""Privacy: pseudonyms with keys that can be destroyed, scrubbed texts, an allow-list, retention, erasure."""

from stability.records.privacy.erasure import Erasure, Expiry, erase, erasures, expire, tombstone
from stability.records.privacy.people import personal_spans, scrub_message
from stability.records.privacy.policy import PrivacyReport, apply_policy, cutoff, policy_of
from stability.records.privacy.pseudonyms import KeyStore, is_pseudonym
from stability.records.privacy.scrubbing import scrub, scrub_column

__all__ = [
    "Erasure",
    "Expiry",
    "KeyStore",
    "PrivacyReport",
    "apply_policy",
    "cutoff",
    "erase",
    "erasures",
    "expire",
    "is_pseudonym",
    "personal_spans",
    "policy_of",
    "scrub",
    "scrub_column",
    "scrub_message",
    "tombstone",
]
