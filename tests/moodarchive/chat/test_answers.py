"""What servers of the chat interface answer, in all the shapes in which they do."""

import json
import random
from typing import Any

import pytest

from moodarchive.chat.answers import (
    ErrorBodyError,
    NotChatError,
    error_message,
    find_object,
    read_chat_answer,
    require_answered,
)
from moodarchive.errors import RowError

TEXT = '{"summary": "A boat {lies} on a lake."}'


def body_of(content: Any = TEXT, finish_reason: Any = "stop", message: Any = None, **changes: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **(message or {})}}
    body = {"model": "m", "choices": [{**choice, "finish_reason": finish_reason}], "usage": {"prompt_tokens": 5}}
    return json.dumps({**body, **changes}).encode()


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        [{"type": "text", "text": TEXT}],
        [{"type": "text", "text": TEXT[:9]}, {"type": "text", "text": TEXT[9:]}],
        [{"type": "output_text", "text": TEXT}],
        [{"text": TEXT}],
        [TEXT[:4], TEXT[4:]],
        [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": TEXT}, None, 7],
        {"type": "text", "text": TEXT},
        json.loads(TEXT),
    ],
)
def test_content_is_text_in_whatever_shape_it_comes(content: Any) -> None:
    assert read_chat_answer(body_of(content), "m").text == TEXT


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_text_that_stands_among_the_thoughts_alone_is_no_answer_but_is_named(name: str) -> None:
    answer = read_chat_answer(body_of(None, message={name: TEXT}), "m")
    assert (answer.text, answer.aside) == ("", name)
    assert read_chat_answer(body_of(TEXT, message={name: "Hm."}), "m").aside == ""


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("length", "cut_off"), ("MAX_TOKENS", "cut_off"), ("abort", "cut_off"), ("error", "cut_off"),
     ("content_filter", "refused"), ("SAFETY", "refused"), ("guardrail", "refused")],
)  # fmt: skip
def test_an_answer_that_was_cut_broken_off_or_filtered_is_none(reason: str, kind: str) -> None:
    with pytest.raises(RowError) as error:
        require_answered(read_chat_answer(body_of(finish_reason=reason), "m"))
    assert error.value.kind == kind
    require_answered(read_chat_answer(body_of(finish_reason="stop"), "m"))


def test_an_empty_answer_says_where_its_text_stands() -> None:
    with pytest.raises(RowError, match=r"empty .*its text stands in reasoning") as error:
        require_answered(read_chat_answer(body_of(None, message={"reasoning": TEXT}), "m"))
    assert error.value.kind == "no_answer"


@pytest.mark.parametrize(
    ("said", "model"), [("other", "other"), (7, "7"), (None, "asked"), ("", "asked"), ([], "asked")]
)
def test_the_model_is_the_one_that_answers_else_the_one_that_was_asked(said: Any, model: str) -> None:
    assert read_chat_answer(body_of(model=said), "asked").model == model


def test_a_body_without_a_model_or_usage_is_an_answer() -> None:
    answer = read_chat_answer(json.dumps({"choices": [{"message": {"content": TEXT}}]}).encode(), "asked")
    assert (answer.text, answer.model, answer.finish_reason) == (TEXT, "asked", "")
    assert (answer.prompt_tokens, answer.completion_tokens) == (0, 0)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": "n/a"}, 0), ({"prompt_tokens": 12.0}, 12), ({"prompt_tokens": -3}, 0), ("none", 0), ([], 0),
        ({"prompt_tokens": True}, 0), ({"prompt_tokens": None}, 0), ({"prompt_tokens": 1e300}, 2**31 - 1),
        ({"prompt_tokens": float("nan")}, 0), ({"prompt_tokens": float("inf")}, 0),
    ],
)  # fmt: skip
def test_an_odd_usage_counts_what_it_can(usage: Any, tokens: int) -> None:
    assert read_chat_answer(body_of(usage=usage), "m").prompt_tokens == tokens


@pytest.mark.parametrize(
    ("given_reason", "reason"),
    [("eos_token", "eos_token"), (None, ""), ({"type": "stop", "matched": 2}, "stop"), (3, "3")],
)
def test_finish_reasons_are_words(given_reason: Any, reason: str) -> None:
    assert read_chat_answer(body_of(finish_reason=given_reason), "m").finish_reason == reason


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_a_byte_order_mark_is_no_part_of_the_answer(encoding: str) -> None:
    assert read_chat_answer(body_of().decode().encode(encoding), "m").text == TEXT


def test_a_model_s_refusal_is_the_rows_failure() -> None:
    with pytest.raises(RowError, match="rather not") as error:
        read_chat_answer(body_of(None, message={"refusal": "I would rather not."}), "m")
    assert error.value.kind == "refused"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"code": 502, "message": "words"}}, 502),
        ({"error": {"code": "429", "message": "words"}}, 429),
        ({"error": {"message": "words"}}, 500),
        ({"error": {"message": "words", "code": "model_not_found"}}, 404),
        ({"error": {"message": "words", "type": "invalid_request_error"}}, 400),
        ({"object": "error", "message": "words", "code": 404}, 404),
        ({"error": "words", "error_type": "validation"}, 422),
        ({"error": "words"}, 500),
        ({"error": {"message": "an error", "code": 502, "metadata": {"raw": "words"}}}, 502),
        ({"detail": [{"loc": ["body", "seed"], "msg": "words", "type": "extra"}]}, 500),
    ],
)
def test_an_error_in_a_200_has_its_words_and_its_status(body: dict[str, Any], status: int) -> None:
    with pytest.raises(ErrorBodyError, match="words") as error:
        read_chat_answer(json.dumps(body).encode(), "m")
    assert error.value.status == status
    assert "words" in error_message(json.dumps(body).encode())


def test_null_errors_beside_an_answer_are_none() -> None:
    assert read_chat_answer(body_of(error=None, object="chat.completion"), "m").text == TEXT


def test_a_page_is_told_from_a_broken_body() -> None:
    bodies = ((b"<html>Sign in", True), (b"\xef\xbb\xbf \n<!DOCTYPE", True), (b'{"a', False), (b"", False))
    for content, is_page in bodies:
        with pytest.raises(NotChatError) as error:
            read_chat_answer(content, "m")
        assert error.value.is_page is is_page


NAMES = ("choices", "message", "content", "error", "code", "usage", "type", "text", "model", "detail", "prompt_tokens")
LEAVES = (None, True, False, 0, -1, 404, 1e300, float("nan"), "", "text", "404", "n/a")


def draw_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if depth > 5 or kind < 0.3:
        return chance.choice(LEAVES)
    if kind < 0.55:
        return [draw_value(chance, depth + 1) for _ in range(chance.randint(0, 2))]
    return {name: draw_value(chance, depth + 1) for name in chance.sample(NAMES, chance.randint(0, 5))}


def test_no_body_whatever_ends_in_another_error() -> None:
    chance, answers = random.Random(5), 0
    for _ in range(20_000):
        value = draw_value(chance)
        try:
            answer = read_chat_answer(json.dumps(value).encode(), "m")
        except (NotChatError, ErrorBodyError, RowError) as error:
            assert str(error)
        else:
            answers += 1
            assert isinstance(answer.text, str) and isinstance(answer.model, str) and answer.prompt_tokens >= 0
    assert answers


OBJECT = {"summary": "A {boat} lies `here`.", "emotions": ["joy"]}
WRITTEN = json.dumps(OBJECT)


@pytest.mark.parametrize(
    "text",
    [
        WRITTEN,
        f"```json\n{WRITTEN}\n```",
        f"```\n{WRITTEN}```",
        f"~~~JSON\n{WRITTEN}\n~~~\n",
        f"Here is the JSON:\n\n```json\n{WRITTEN}\n```\nI hope it helps!",
        f"Sure: {WRITTEN}",
        f"<think>\nA boat.\n</think>\n\n{WRITTEN}",
        f'<think>Perhaps {{"summary": "no"}}?</think>{WRITTEN}',
        f"<think></think>```json\n{WRITTEN}\n```",
        f"A boat, so joy.\n</think>\n{WRITTEN}",
        f"<thinking>One.</thinking><thinking>Two {{</thinking>{WRITTEN}",
        f"[THINK]A boat.[/THINK]{WRITTEN}",
        f"{WRITTEN}<|im_end|>",
        f"\ufeff{WRITTEN}",
        f"{WRITTEN}\n{WRITTEN}",
    ],
)
def test_the_object_is_found_in_fences_after_thoughts_and_between_words(text: str) -> None:
    assert find_object(text) == OBJECT


WITHOUT_ONE = ("", "A boat.", WRITTEN[:30], f'{WRITTEN} or {{"summary": "no"}}', "[1, 2]", "{" * 5000)


@pytest.mark.parametrize("text", [*WITHOUT_ONE, f"<think>{WRITTEN}</think>"])
def test_what_holds_no_object_or_two_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        find_object(text)
