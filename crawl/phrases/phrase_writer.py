"""A served language model writes the phrases that the lexicon lacks; what it has answered is never asked again."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from typing import Annotated, Any

from pydantic import Field

from crawl.phrases.phrases import KnownPhrases, Phrase, normalise_phrase
from moodarchive.chat.answers import require_finished
from moodarchive.chat.client import ChatClient, ChatRequest, Message, ServerRejection
from moodarchive.chat.prompt import PromptFile
from moodarchive.chat.service_watch import ServiceWatch
from moodarchive.chat.settings import ChatSettings
from moodarchive.emotions.lexicon import load_lexicon
from moodarchive.emotions.taxonomy import Cell, words
from moodarchive.errors import RowError, ServiceError
from moodarchive.running.ordered_map import run_in_order
from moodarchive.settings import SettingScope
from moodarchive.storage.store import Store
from moodarchive.tables.keys import digest

LOGGER = logging.getLogger("moodarchive.descriptors")
_SHOWN = 60
"""Of the phrases that the model has written for a cell, so many of the last are shown to it."""


class WriterSettings(ChatSettings):
    """Which model writes phrases, how it is asked, and where it is served. Without a model the lexicon is all."""

    model: Annotated[str, SettingScope.GROWTH] = ""
    """The name under which the servers know the model; empty: no model is asked."""
    prompt: Annotated[str, SettingScope.GROWTH] = "descriptors"
    """A bundled prompt's name, or the path of a TOML file."""
    seed: Annotated[int, SettingScope.GROWTH] = 0
    """The base of the sampling seeds; the same seed asks the same questions."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0), SettingScope.GROWTH] = 0.9
    """Of the sampling."""
    phrases_per_answer: Annotated[int, Field(ge=1, le=100), SettingScope.GROWTH] = 20
    """Phrases asked for in one answer."""
    max_tokens: Annotated[int, Field(ge=64), SettingScope.GROWTH] = 1024
    """Tokens that an answer may have."""
    similarity: Annotated[float, Field(gt=0.5, le=1.0), SettingScope.GROWTH] = 0.88
    """Phrases that share so much of their letters are one."""
    barren_answers: Annotated[int, Field(ge=1, le=100), SettingScope.GROWTH] = 3
    """Answers in a row without a new phrase, after which a cell is left as it is."""
    in_flight: Annotated[int, Field(ge=1), SettingScope.EXECUTION] = 8
    """Requests that a server is given at a time."""


@dataclass(frozen=True, kw_only=True)
class WriterAnswer:
    """What a model answered, as it is kept; ``refused`` says why there is no answer."""

    text: str
    finish_reason: str
    model: str
    refused: str = ""


@dataclass(kw_only=True)
class _CellState:
    """One cell while it grows: its phrases so far of those wanted, the answers taken, those in a row without news."""

    cell: Cell
    examples: tuple[str, ...]
    wanted: int
    phrases: list[Phrase]
    answers: int = 0
    barren: int = 0


@dataclass(kw_only=True)
class PhraseWriter:
    """Fills cells up to a number of phrases each; ``dropped`` counts what the model wrote in vain, by reason.

    All cells that are short are asked at once, and their answers are merged in the order of the cells before the next
    turn: what comes out depends on the answers alone. Each answer is kept under the root as soon as it is there; that a
    server turned a question down is none.
    """

    store: Store
    settings: WriterSettings
    per_cell: int
    drop: Sequence[str] = ()
    """Phrases that are not wanted, nor any that say the same."""
    more_like: Mapping[Cell, tuple[str, ...]] = field(default_factory=dict)
    """Cells with the examples that they are written after; these cells get one answer's phrases more."""
    prompt: PromptFile = field(init=False)
    dropped: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    _known: KnownPhrases = field(init=False)
    _watch: ServiceWatch = field(init=False)

    def __post_init__(self) -> None:
        self.prompt = PromptFile.load(
            self.settings.prompt,
            files("crawl.phrases") / "prompts",
            system={},
            hints={"emotion", "context", "examples", "known", "count"},
        )
        self._known = KnownPhrases(self.settings.similarity)
        self._watch = ServiceWatch(_ask_plainly, "question")

    def fill(self, begun: Mapping[Cell, Sequence[Phrase]]) -> dict[Cell, tuple[Phrase, ...]]:
        """The cells with the model's phrases behind those begun with.

        Near-repeats are dropped within and across emotions, against the whole lexicon too. ServiceError when the
        servers do not answer or turn every question down; what they have answered so far is kept.
        """
        lexicon = load_lexicon()
        for phrases in lexicon.values():
            self._known.add(phrases)
        self._known.add(self.drop)
        states = [self._begin(cell, lexicon[cell], phrases) for cell, phrases in begun.items()]
        try:
            asyncio.run(self._fill(states))
        except ServiceError as error:
            raise ServiceError(
                f'{error}; what was written so far is kept (descriptors.writer.model = "" goes by the lexicon alone)'
            ) from None
        return {state.cell: tuple(state.phrases) for state in states}

    def _begin(self, cell: Cell, lexicon: tuple[str, ...], phrases: Sequence[Phrase]) -> _CellState:
        more = self.settings.phrases_per_answer if cell in self.more_like else 0
        examples = self.more_like.get(cell) or tuple(text for text in lexicon if text not in self.drop)
        return _CellState(cell=cell, examples=examples, wanted=self.per_cell + more, phrases=list(phrases))

    async def _fill(self, states: Sequence[_CellState]) -> None:
        settings = self.settings
        async with settings.client() as client:
            while short := [state for state in states if self._is_short(state)]:
                requests = [self._request(state) for state in short]
                window = settings.in_flight * len(settings.servers)
                async with aclosing(
                    run_in_order(self._jobs(client, requests), window, finished_ahead=len(short))
                ) as line:
                    answers = [answer async for answer in line]
                await self._watch.settle(client)
                for state, request, answer in zip(short, requests, answers, strict=True):
                    self._merge(state, request.seed, answer)

    def _is_short(self, state: _CellState) -> bool:
        return len(state.phrases) < state.wanted and state.barren < self.settings.barren_answers

    async def _jobs(
        self, client: ChatClient, requests: Sequence[ChatRequest]
    ) -> AsyncIterator[Coroutine[Any, Any, WriterAnswer]]:
        for request in requests:
            yield self._ask(client, request)

    async def _ask(self, client: ChatClient, request: ChatRequest) -> WriterAnswer:
        name = digest(request.payload())
        path = f"crawl/descriptors/{name[:2]}/{name}.json"
        try:
            return WriterAnswer(**json.loads(self.store.read_bytes(path)))
        except FileNotFoundError:
            pass
        try:
            reply = await client.ask(request)
            answer = WriterAnswer(text=reply.text, finish_reason=reply.finish_reason, model=reply.model)
        except RowError as error:
            if error.kind != "refused":  # lost on the way: no answer that could be kept
                raise ServiceError(str(error)) from None
            if isinstance(error, ServerRejection):
                await self._watch.note_rejection(client, request, error)
                return WriterAnswer(text="", finish_reason="", model=request.model, refused=str(error))
            answer = WriterAnswer(text="", finish_reason="", model=request.model, refused=str(error))
        self._watch.note_answer()
        self.asked += 1
        self.store.write_bytes(path, json.dumps(asdict(answer)).encode())
        return answer

    def _request(self, state: _CellState) -> ChatRequest:
        settings, count = self.settings, self.settings.phrases_per_answer
        written = [phrase.text for phrase in state.phrases if phrase.text not in state.examples]
        question = self.prompt.user.format(
            emotion=words(state.cell.emotion),
            context=words(state.cell.context),
            examples=", ".join(state.examples),
            known=", ".join(written[-_SHOWN:]) or "none",
            count=count,
        )
        return ChatRequest(
            model=settings.model,
            messages=(Message(role="system", text=self.prompt.system), Message(role="user", text=question)),
            schema=answer_schema(count),
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            seed=int(digest([settings.seed, *state.cell, state.answers])[:8], 16) & 0x7FFFFFFF,
        )

    def _merge(self, state: _CellState, seed: int, answer: WriterAnswer) -> None:
        """Takes what is new of an answer, in its order, until the cell is full."""
        origin = f"{answer.model} {self.prompt.name}/{self.prompt.version}/{self.prompt.hash} seed {seed}"
        state.answers += 1
        before = len(state.phrases)
        try:
            for text in read_answer(answer):
                if len(state.phrases) < state.wanted:
                    self._take(state, text, origin)
        except RowError as error:
            self.dropped[error.kind] += 1
            LOGGER.info("%s, %s: answer %d: %s: %s", *state.cell, state.answers, error.kind, error)
        state.barren = 0 if len(state.phrases) > before else state.barren + 1

    def _take(self, state: _CellState, text: str, origin: str) -> None:
        try:
            phrase = normalise_phrase(text, state.cell.emotion)
        except RowError as error:
            self.dropped[error.kind] += 1
            return
        if self._known.near(phrase) is not None:
            self.dropped["repeat"] += 1
            return
        self._known.add([phrase])
        state.phrases.append(Phrase(phrase, origin))


def _ask_plainly(request: ChatRequest) -> ChatRequest:
    """A question of the same form that no sound server turns down."""
    question = Message(role="user", text="List short phrases for pictures of a green tree.")
    return replace(request, messages=(request.messages[0], question))


def answer_schema(count: int) -> dict[str, Any]:
    """The JSON schema for the server's guided decoding."""
    phrase = {"type": "string", "minLength": 5, "maxLength": 60, "pattern": "^[a-z][a-z -]{3,58}[a-z]$"}
    phrases = {"type": "array", "items": phrase, "minItems": count, "maxItems": count}
    return {
        "type": "object",
        "properties": {"phrases": phrases},
        "required": ["phrases"],
        "additionalProperties": False,
    }


def read_answer(answer: WriterAnswer) -> list[str]:
    """The phrases as the model wrote them.

    A server may ignore the schema, so the form is checked: RowError refused, cut_off, not_json or wrong_schema.
    """
    if answer.refused:
        raise RowError("refused", answer.refused)
    require_finished(answer.finish_reason, "; remedy: raise descriptors.writer.max_tokens")
    try:
        values = json.loads(answer.text)
    except (ValueError, RecursionError) as error:
        raise RowError("not_json", f"{error}: {answer.text[:200]!r}") from None
    phrases = values.get("phrases") if isinstance(values, dict) else None
    if not isinstance(phrases, list) or not all(isinstance(phrase, str) for phrase in phrases):
        raise RowError("wrong_schema", f"no list of phrases: {answer.text[:200]!r}")
    return phrases
