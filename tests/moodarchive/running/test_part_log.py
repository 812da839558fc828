"""Each part keeps its log, whatever its end, and no secret is in it."""

import logging

import pytest

from moodarchive.running.part_log import LOG_BYTES, LOGGER, log_path, part_log, redact
from moodarchive.storage.store import Store

SECRET = "s3cr3t-value-123"  # noqa: S105


def _log(store: Store, stage: str = "toy", part: int = 3) -> str:
    return store.read_bytes(log_path(stage, part)).decode()


def test_the_log_of_a_part_holds_what_the_block_logged(store: Store) -> None:
    with part_log(store, "toy", 3):
        LOGGER.getChild("toy").info("row %s failed", "abc")
        LOGGER.getChild("other").error("of another stage")
    assert log_path("toy", 3) == "logs/toy/00003.log"
    assert "INFO row abc failed" in _log(store)
    assert "of another stage" not in _log(store)


def test_the_log_is_written_when_the_block_raises(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCK_API_KEY", SECRET)
    with pytest.raises(ValueError, match="no good"), part_log(store, "toy", 3) as logger:
        logger.info("began")
        raise ValueError(f"no good: {SECRET}")
    log = _log(store)
    assert "began" in log
    assert "part 00003 ended with ValueError: no good" in log
    assert "Traceback" in log and "test_part_log.py" in log
    assert SECRET not in log


def test_the_next_part_of_the_process_has_a_log_of_its_own(store: Store) -> None:
    for part in (1, 2):
        with part_log(store, "toy", part) as logger:
            logger.info("this is part %d", part)
    assert "this is part 1" not in _log(store, part=2)
    assert _log(store, part=2).count("\n") == 1


def test_a_log_is_bounded(store: Store) -> None:
    with part_log(store, "toy", 3) as logger:
        for _ in range(40):
            logger.info("x" * 50_000)
    assert len(_log(store)) < LOG_BYTES + 60_000


def test_a_log_that_cannot_be_written_changes_no_outcome(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.write_bytes("logs", b"a file where the folder should be")
    with caplog.at_level(logging.WARNING), part_log(store, "toy", 3) as logger:
        logger.info("fine")
    assert "log of toy part 00003 could not be written" in caplog.text


@pytest.mark.parametrize("name", ["PEXELS_KEY", "HF_TOKEN", "aws_secret_access", "DB_PASSWORD"])
def test_values_of_secret_variables_are_redacted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, SECRET)
    assert redact(f"asked with {SECRET}!") == "asked with [redacted]!"


def test_other_variables_and_short_values_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIN_SETTING", "some-plain-value")
    monkeypatch.setenv("LAYOUT_KEY", "a")  # to redact each letter a would redact the log
    assert redact("a some-plain-value") == "a some-plain-value"


@pytest.mark.parametrize(
    "parameter", ["key", "api_key", "apikey", "token", "access_token", "client_id", "client_secret"]
)
def test_secret_parameters_of_urls_are_redacted(parameter: str) -> None:
    text = redact(f"GET http://a.example/?q=joy&{parameter}={SECRET}&page=2 gave 404")
    assert SECRET not in text
    assert "q=joy" in text and "page=2 gave 404" in text
