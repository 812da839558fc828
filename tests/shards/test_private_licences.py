"""Which of a part's samples are public is decided by each row's licence, its source's terms and a permission."""

import json
import re
import tarfile
from dataclasses import replace
from itertools import product

from moodarchive.archive.licences import find_licence
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from pipelines.runner.execute import pending_parts
from shards.pack import ShardSettings, pack_stage
from tests.making import IMAGE_TABLES, Fate, Row, write_fates, write_rows

NAMES = (
    None, "", "cc0", "PDM", "CC BY 2.0", "by-sa 4.0", "CC BY-NC 2.0", "cc-by-nd-2.0", "by-nc-sa 4.0", "by-nc-nd 3.0",
    "CC BY", "Attribution License", "7", "All rights reserved", "unsplash", "pexels",
    # what a catalogue's rows state once they are read
    "unknown", "unknown, perhaps nc or nd",
)  # fmt: skip
CC = "https://creativecommons.org"
ADDRESSES = (
    None, f"{CC}/publicdomain/zero/1.0/", f"{CC}/publicdomain/mark/1.0/", f"{CC}/licenses/by/2.0/deed.de",
    f"{CC}/licenses/by-sa/4.0/", f"{CC}/licenses/by-nc/2.0/", f"{CC}/licenses/by-nd/2.0/", "https://unsplash.com/license",
    "https://example.org/terms",
)  # fmt: skip
SOURCES = ("closed", "open", "permitted", "closed-and-permitted")
VERDICTS = ("safe", "doubtful")
SETTINGS = ShardSettings(
    private_sources=("closed", "closed-and-permitted"), permitted_sources=("permitted", "closed-and-permitted")
)
PUBLIC = {"cc0", "pdm", "by", "by-sa"}


def _rows() -> list[dict[str, Row]]:
    """One kept image for every combination of name, address, source and verdict."""
    rows = []
    for number, (name, url, source, verdict) in enumerate(product(NAMES, ADDRESSES, SOURCES, VERDICTS)):
        row = Fate(number=0, source=source, split=("train", "validation", "heldout")[number % 3]).rows()
        key = f"{number:016x}"
        row["items"] |= {"licence": name, "licence_url": url, "source_id": str(number)}
        row["safety"] |= {"verdict": verdict}
        rows.append({table: {**values, "key": key} for table, values in row.items()})
    return rows


def _packed_sets(store: Store, settings: ShardSettings) -> dict[str, str]:
    """Key → the set in whose tar it lies, with the real packer."""
    stage = pack_stage(settings)
    run_part(stage, store, stage.make_worker(), 0)
    sets = {}
    for name in store.names("shards"):
        if not name.endswith(".json"):
            with tarfile.open(store.path(f"shards/{name}/00000.tar")) as tar:
                for member in tar.getmembers():
                    if member.name.endswith(".json"):
                        sets[json.load(tar.extractfile(member))["key"]] = name  # type: ignore[arg-type]
    return sets


def test_no_combination_brings_an_unlicensed_row_into_a_public_shard(store: Store) -> None:
    rows = _rows()
    for table in IMAGE_TABLES:
        write_rows(store, table, 0, [row[table.name] for row in rows])
    sets = _packed_sets(store, SETTINGS)
    assert len(sets) == len(rows) == len(NAMES) * len(ADDRESSES) * len(SOURCES) * len(VERDICTS)
    public = 0
    for row in rows:
        item, name = row["items"], sets[row["items"]["key"]]
        source, stated = item["source"], f"{item['licence']} {item['licence_url']}".lower()
        licensed = find_licence(item["licence"], item["licence_url"]).family in PUBLIC
        if source.startswith("closed") or row["safety"]["verdict"] == "doubtful" or re.search("[- ]n[cd]", stated):
            assert name == "private", item
        elif licensed or source == "permitted":
            assert name == row["selection"]["split"], item
        else:
            assert name == "private", item
        public += name != "private"
    assert public > 100


def test_a_part_that_was_packed_by_source_alone_is_packed_anew_by_a_run(store: Store) -> None:
    fates = [Fate(number=0), Fate(number=1, licence="by-nc 2.0"), Fate(number=2, licence=None)]
    write_fates(store, 0, fates)
    settings = ShardSettings(private_sources=("closed",))
    stage = pack_stage(settings)
    # what the digest was while the source alone decided
    earlier = replace(stage, settings=digest({"private_sources": ["closed"]}))
    run_part(earlier, store, earlier.make_worker(), 0)
    assert list(pending_parts([earlier], store, [0])) == [] and list(pending_parts([stage], store, [0])) == [0]
    sets = _packed_sets(store, settings)
    assert [sets[str(fate.rows()["items"]["key"])] for fate in fates] == ["train", "private", "private"]
    permitted = pack_stage(settings.model_copy(update={"permitted_sources": ("openverse",)}))
    assert list(pending_parts([permitted], store, [0])) == [0]
