"""Emotions become search phrases, a set number for each emotion and context: the lexicon's, then a model's."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from crawl.phrases.phrase_writer import PhraseWriter, WriterSettings
from crawl.phrases.phrases import LEXICON, Phrase
from crawl.source import Query
from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import CONTEXTS, EMOTIONS, Cell
from moodarchive.settings import Settings, SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.parts import Origin, read_part, read_sidecar, write_part
from moodarchive.tables.schemas import DESCRIPTORS, as_batch

PHRASES = Mapping[Cell, tuple[Phrase, ...]]


class DescriptorSettings(Settings):
    """What to search for."""

    emotions: Annotated[tuple[str, ...], SettingScope.GROWTH] = EMOTIONS
    """Which of the 27 emotions are searched."""
    contexts: Annotated[tuple[str, ...], SettingScope.GROWTH] = CONTEXTS
    """Which of the four contexts are searched."""
    phrases_per_cell: Annotated[int, Field(ge=1, le=10_000), SettingScope.GROWTH] = 12
    """The lexicon has 14; further ones are written by the model, if there is one."""
    drop: Annotated[tuple[str, ...], SettingScope.GROWTH] = ()
    """Phrases that no further round searches for, in any cell; the lexicon's next ones take their places."""
    more_like: Annotated[dict[str, tuple[str, ...]], SettingScope.GROWTH] = Field(default_factory=dict)
    """Cells (`"joy/natural_scenery"`), each with phrases that found what was wanted.

    The model writes for these cells in the manner of those phrases, and one answer's phrases more than for others.
    """
    writer: WriterSettings = WriterSettings()

    @field_validator("more_like")
    @classmethod
    def _known_cells(cls, wanted: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, phrases in wanted.items():
            _read_cell(name)
            if not phrases:
                raise ValueError(f"{name} names no phrase")
        return wanted

    @model_validator(mode="after")
    def _more_needs_a_writer(self) -> Self:
        if self.more_like and not self.writer.model:
            raise ValueError("more_like needs a model that writes; remedy: set descriptors.writer.model")
        return self

    @field_validator("emotions")
    @classmethod
    def _known_emotions(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known(names, EMOTIONS, "emotion")

    @field_validator("contexts")
    @classmethod
    def _known_contexts(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known(names, CONTEXTS, "context")


def _read_cell(name: str) -> Cell:
    """The cell of a name such as ``joy/natural_scenery``."""
    emotion, _, context = name.partition("/")
    _known((emotion,), EMOTIONS, "emotion")
    _known((context,), CONTEXTS, "context")
    return Cell(emotion, context)


def _known(names: tuple[str, ...], legal: tuple[str, ...], what: str) -> tuple[str, ...]:
    for name in names:
        if name not in legal:
            raise ValueError(f"{name!r} is no {what}; legal: {', '.join(legal)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"at least one {what}, none twice")
    return names


@dataclass(frozen=True, kw_only=True)
class SearchPhrases:
    """The phrases of each chosen cell, and how they came to be."""

    phrases: PHRASES
    answers_asked: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def written(self) -> int:
        """Phrases that a model wrote."""
        return sum(phrase.origin != LEXICON for of_cell in self.phrases.values() for phrase in of_cell)

    def short(self, per_cell: int) -> list[Cell]:
        """The cells that have fewer phrases than asked for."""
        return [cell for cell, of_cell in self.phrases.items() if len(of_cell) < per_cell]


def read_lexicon_phrases(settings: DescriptorSettings) -> dict[Cell, tuple[Phrase, ...]]:
    """The lexicon's phrases of each chosen cell, in its order; dropped ones are left out."""
    lexicon = {cell: [text for text in texts if text not in settings.drop] for cell, texts in load_lexicon().items()}
    cells = [Cell(emotion, context) for emotion in settings.emotions for context in settings.contexts]
    return {cell: tuple(map(Phrase, lexicon[cell][: settings.phrases_per_cell])) for cell in cells}


def gather_phrases(store: Store, settings: DescriptorSettings) -> SearchPhrases:
    """The lexicon's phrases first, then those that the model writes; ServiceError when its servers do not answer."""
    phrases = read_lexicon_phrases(settings)
    if not settings.writer.model:
        return SearchPhrases(phrases=phrases)
    writer = PhraseWriter(
        store=store,
        settings=settings.writer,
        per_cell=settings.phrases_per_cell,
        drop=settings.drop,
        more_like={_read_cell(name): examples for name, examples in settings.more_like.items()},
    )
    return SearchPhrases(phrases=writer.fill(phrases), answers_asked=writer.asked, dropped=writer.dropped)


def make_queries(phrases: PHRASES, source: str, results: int, release: str = "") -> list[Query]:
    """Every phrase as a query, cells taken in turn, so that a round cut short is balanced."""
    longest = max(len(of_cell) for of_cell in phrases.values())
    return [
        Query(
            source=source,
            emotion=cell.emotion,
            context=cell.context,
            phrase=of_cell[turn].text,
            results=results,
            release=release,
            origin=of_cell[turn].origin,
        )
        for turn in range(longest)
        for cell, of_cell in phrases.items()
        if turn < len(of_cell)
    ]


def write_descriptors(store: Store, number: int, queries: tuple[Query, ...], settings: str) -> None:
    """Records the phrases that round ``number`` is the first to search for; does nothing when that is done."""
    if read_sidecar(store, DESCRIPTORS, number) is not None:
        return
    known = {row for earlier in range(number) for row in _phrases_of_round(store, earlier)}
    fresh = {(query.emotion, query.context, query.phrase): query.origin for query in queries}
    rows: list[dict[str, object]] = [
        {"emotion": emotion, "context": context, "phrase": phrase, "origin": fresh[emotion, context, phrase]}
        for emotion, context, phrase in sorted(fresh)
        if (emotion, context, phrase) not in known
    ]
    origin = Origin(settings=settings, inputs={}, started=time.time())
    write_part(store, DESCRIPTORS, number, [as_batch(DESCRIPTORS, rows)], origin)


def _phrases_of_round(store: Store, number: int) -> list[tuple[str, str, str]]:
    return [
        (row["emotion"], row["context"], row["phrase"])
        for batch in read_part(store, DESCRIPTORS, number)
        for row in batch.to_pylist()
    ]
