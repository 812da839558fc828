"""A stand-in for a served language model that writes search phrases: it strings words together, and fails as told.

``python tests/crawl/phrase_server.py ROOT BASE`` fills cells of ROOT from the server at BASE, for a test that kills it.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiohttp import web

from crawl.phrases.descriptors import DescriptorSettings, SearchPhrases, gather_phrases
from moodarchive.storage.store import Store

PATH = "/v1/chat/completions"
MODEL = "words-in-a-row"
_WORDS = """
lantern kettle meadow harbor ribbon glacier orchard stairway drum puddle feather anchor violin cactus
broken golden floating painted frozen tangled hollow silver dusty woven glowing crooked velvet rusty
attic canyon courtyard lagoon workshop prairie tunnel balcony marsh bakery quarry chapel greenhouse gallery
"""
_THINGS, _LOOKS, _PLACES = (line.split() for line in _WORDS.strip().splitlines())


@dataclass
class PhraseServer:
    """Answers with as many phrases as asked for; ``spoil`` may replace the answer to the n-th request (from 1)."""

    spoil: Callable[[int, dict[str, Any]], web.Response | str | None] = lambda number, body: None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    pause_s: float = 0.0

    async def chat(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        self.bodies.append(body)
        await asyncio.sleep(self.pause_s)
        spoilt = self.spoil(len(self.bodies), body)
        return spoilt if isinstance(spoilt, web.Response) else says(spoilt or json.dumps({"phrases": written(body)}))


def written(body: dict[str, Any]) -> list[str]:
    """Phrases that follow from the request alone."""
    count = body["response_format"]["json_schema"]["schema"]["properties"]["phrases"]["minItems"]
    random = Random(json.dumps(body["messages"]) + str(body["seed"]))
    return [" ".join(map(random.choice, (_LOOKS, _THINGS, ["in"], _PLACES))) for _ in range(count)]


def says(text: str, finish: str = "stop", **message: Any) -> web.Response:
    choice = {"message": {"content": text, **message}, "finish_reason": finish}
    return web.json_response({"model": f"{MODEL}-served", "choices": [choice], "usage": {}})


def filled(root: str, base: str, per_cell: int = 34, **writer: Any) -> SearchPhrases:
    """The phrases of four cells, asked of the server at ``base``."""
    values = {"model": MODEL, "servers": [base], "phrases_per_answer": 10, "retries": 1, "patience_s": 0, **writer}
    settings = DescriptorSettings.model_validate(
        {
            "emotions": ["joy", "fear"], "contexts": ["urban_scenery", "object_classes"], "phrases_per_cell": per_cell,
            "writer": values,
        }
    )  # fmt: skip
    return gather_phrases(Store(root), settings)


if __name__ == "__main__":
    filled(sys.argv[1], sys.argv[2], in_flight=1)
