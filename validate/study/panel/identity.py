"""The panel's ids as hashes: salted by the study, so that nobody can look one up by guessing."""

import hashlib
from collections.abc import Callable

from moodarchive.storage.store import Store
from validate.study.design.study import salt

Hasher = Callable[[str], str]


def make_hasher(store: Store, kind: str) -> Hasher:
    """id → 24 hex digits; the same id always gives the same."""
    secret = salt(store, kind)

    def hash_id(value: str) -> str:
        return hashlib.blake2b(value.encode(), key=secret, digest_size=12, person=b"panel-id").hexdigest()

    return hash_id
