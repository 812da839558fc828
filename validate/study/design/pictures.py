"""The pictures of a study, read from the shards as they lie there now; no other picture can be reached."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow.compute as pc

from moodarchive.storage.store import Store
from moodarchive.tables.layout import PRIVATE
from moodarchive.tables.parquet import read_table as read_parquet
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import SHARD_INDEX
from moodarchive.tables.spans import Span, member_span
from validate.study.design.items import Item


class _Address(NamedTuple):
    tar: str
    span: Span


@dataclass(frozen=True)
class Pictures:
    """JPEG bytes by key, for the keys that were asked for and are still in a shard that may be shown."""

    store: Store
    addresses: dict[str, _Address]

    def __contains__(self, key: str) -> bool:
        return key in self.addresses

    def read(self, key: str) -> bytes:
        """The picture; KeyError for a key outside the study or no longer in the archive."""
        address = self.addresses[key]
        with self.store.open_read(address.tar) as file:
            return address.span.read(file)


def find_pictures(store: Store, keys: Collection[str], private: Collection[str] = ()) -> Pictures:
    """Where the pictures of these keys lie; keys without a picture are left out.

    In the private shards only ``private`` are looked for.
    """
    import pyarrow as pa

    public_keys, private_keys = (pa.array(sorted(of_set), pa.string()) for of_set in (keys, {*keys} & {*private}))
    addresses: dict[str, _Address] = {}
    for sidecar in finished_parts(store, SHARD_INDEX).values():
        for path in sidecar.files:
            wanted = private_keys if path.split("/")[1] == PRIVATE else public_keys
            if not path.endswith(".parquet") or not len(wanted):
                continue
            with store.open_read(path) as file:
                rows = read_parquet(file, columns=["key", "jpg_offset", "jpg_size"])
            tar = path.removesuffix(".parquet") + ".tar"
            for row in rows.filter(pc.is_in(rows["key"], value_set=wanted)).to_pylist():
                addresses[row["key"]] = _Address(tar, member_span(row, "jpg"))
    return Pictures(store, addresses)


def export_pictures(store: Store, where: str, items: Sequence[Item], pictures: Pictures) -> None:
    """pictures/ITEM.jpg of every item, to be put where workers can reach them."""
    for item in items:
        path = f"{where}/pictures/{item.item}.jpg"
        if not store.exists(path):
            store.write_bytes(path, pictures.read(item.key))
