"""The items of a caption study: what is shown, and how each came into the sample."""

import io
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from moodarchive.emotions.captions import caption_text
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest
from moodarchive.tables.layout import DOUBTFUL
from moodarchive.tables.parquet import read_table as read_parquet
from validate.study.design.study import CAPTIONS, folder

ITEMS_PATH = f"{folder(CAPTIONS)}/items.parquet"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One picture with the two texts that are compared.

    ``item`` names it to workers: its key, or for a gold question a name that looks like one. The caption of a gold
    question belongs to another picture, so that it must be refused. ``population`` images of the archive are in its
    stratum, ``sampled`` of them in the study. ``batch`` is the drawing that brought it.
    """

    item: str
    key: str
    part: int
    emotion: str
    context: str
    source: str
    split: str
    model: str
    stratum: str
    population: int
    sampled: int
    batch: int
    gold: bool
    original: str
    summary: str
    stimuli: tuple[str, ...]
    assessment: str
    title: str
    creator: str
    licence: str
    licence_url: str
    landing_url: str

    @property
    def is_doubtful(self) -> bool:
        """True when the picture may not be safe for work: for annotators of one's own, first of all."""
        return self.stratum == DOUBTFUL

    @property
    def inclusion(self) -> float:
        """The probability with which the design takes an image of this stratum."""
        return self.sampled / self.population

    @property
    def sentences(self) -> tuple[str, ...]:
        """The caption's five components."""
        return (self.summary, *self.stimuli, self.assessment)

    @property
    def caption_hash(self) -> str:
        """Names the caption: a verdict holds for this text, not for one that is written later."""
        return caption_hash(self.sentences)

    @property
    def caption(self) -> str:
        """The sentences as one text."""
        return caption_text(self.summary, self.stimuli, self.assessment)


def caption_hash(sentences: tuple[str, ...]) -> str:
    """16 hex digits of a caption's sentences."""
    return digest(list(sentences))


_TYPES = {int: pa.int64(), str: pa.string(), bool: pa.bool_(), tuple[str, ...]: pa.list_(pa.string())}
_SCHEMA = pa.schema([(name, _TYPES[kind]) for name, kind in Item.__annotations__.items()])


def write_items(store: Store, items: "list[Item]") -> None:
    """Writes the items in the order in which they came."""
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([asdict(item) for item in items], schema=_SCHEMA), sink, compression="zstd")
    store.write_bytes(ITEMS_PATH, sink.getvalue())


def read_items(store: Store) -> list[Item]:
    """Every item of the study, gold questions included; none before the first drawing."""
    if not store.exists(ITEMS_PATH):
        return []
    rows = read_parquet(io.BytesIO(store.read_bytes(ITEMS_PATH))).to_pylist()
    return [Item(**{**row, "stimuli": tuple(row["stimuli"])}) for row in rows]
