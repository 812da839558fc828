"""What a person saw leads to the next phrases: dropped ones are not searched, and more are written like others."""

import pytest

from crawl.phrases.descriptors import DescriptorSettings, gather_phrases, read_lexicon_phrases
from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import Cell
from moodarchive.errors import ConfigError
from moodarchive.settings import load
from moodarchive.storage.store import Store
from tests.crawl.phrase_server import MODEL, PATH, PhraseServer
from tests.making import serving

JOY = Cell("joy", "natural_scenery")


def test_a_dropped_phrase_is_not_searched_and_the_lexicons_next_takes_its_place() -> None:
    lexicon = load_lexicon()[JOY]
    text = f'emotions = ["joy"]\ncontexts = ["natural_scenery"]\nphrases_per_cell = 12\ndrop = ["{lexicon[1]}"]'
    (phrases,) = read_lexicon_phrases(load(DescriptorSettings, text, "test")).values()
    assert [phrase.text for phrase in phrases] == [lexicon[0], *lexicon[2:13]]


def test_the_model_writes_more_for_a_cell_after_the_phrases_that_were_liked_and_none_that_was_dropped(
    store: Store,
) -> None:
    server, first, dropped = PhraseServer(), load_lexicon()[JOY][0], "golden lantern in attic"
    server.spoil = lambda number, body: '{"phrases": ["golden lantern in attic"]}' if number == 1 else None
    with serving({PATH: server.chat}) as site:
        settings = load(
            DescriptorSettings,
            f"""
            emotions = ["joy"]
            contexts = ["natural_scenery", "urban_scenery"]
            phrases_per_cell = 16
            drop = ["{dropped}"]
            [more_like]
            "joy/natural_scenery" = ["{first}"]
            [writer]
            model = "{MODEL}"
            servers = ["http://{site.address}"]
            phrases_per_answer = 5
            """,
            "test",
        )
        phrases = gather_phrases(store, settings).phrases
    assert {cell.context: len(of_cell) for cell, of_cell in phrases.items()} == {
        "natural_scenery": 16 + 5, "urban_scenery": 16,
    }  # fmt: skip
    assert dropped not in {phrase.text for of_cell in phrases.values() for phrase in of_cell}
    asked = next(body["messages"][1]["content"] for body in server.bodies if "natural" in str(body["messages"][1]))
    liked, others = asked.index(first), asked.index(load_lexicon()[JOY][1])
    assert liked < others, "what was liked is the example; the lexicon's others are only known"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('more_like = {"joy/natural_scenery" = ["sunlit meadow"]}', "descriptors.writer.model"),
        ('more_like = {"joy/moon" = ["a"]}\n[writer]\nmodel = "m"', "'moon' is no context"),
        ('more_like = {"glee/urban_scenery" = ["a"]}\n[writer]\nmodel = "m"', "'glee' is no emotion"),
        ('more_like = {"joy/urban_scenery" = []}\n[writer]\nmodel = "m"', "names no phrase"),
    ],
)
def test_a_wish_that_cannot_be_followed_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(DescriptorSettings, text, "test")
