"""Recorded passes give what plain ones give, whatever changed between two replays; a recording is made once a shape."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from editor.edit import Edit, EditSettings, Mask
from editor.loading import load_method
from editor.methods.moodifier import InversionFree
from editor.methods.replay import Replayed, recorder_for
from tests.editor.small_models import SmallModels
from tests.making import textured

SIZE = (64, 64)


class _Rerun:
    """As a CUDA graph: the memory of inputs and output is that of the recording."""

    def __init__(self, work: Callable[[], torch.Tensor]) -> None:
        self._work, self.output = work, work().clone()

    def run(self) -> None:
        self.output.copy_(self._work())


class _Recorder:
    def __init__(self) -> None:
        self.recordings = 0

    def __call__(self, work: Callable[[], torch.Tensor]) -> _Rerun:
        self.recordings += 1
        return _Rerun(work)


def _method(small: SmallModels, record: Any = None, **changes: Any) -> InversionFree:
    settings = EditSettings.model_validate({"steps": 4, "size": 64, **changes})
    method = load_method("moodifier", small.base, small.moodify, settings)
    assert isinstance(method, InversionFree)
    if record is None:
        return method
    return InversionFree(
        name="moodifier",
        base=method._base,
        text=method._text,
        settings=method._settings,
        controlled=True,
        record=record,
    )


def _box(left: int, right: int) -> Mask:
    mask = np.zeros(SIZE[::-1], np.float32)
    mask[8:48, left:right] = 1
    return mask


def _made(method: InversionFree, *edits: Edit) -> list[bytes]:
    return [image.tobytes() for image in method.edit(edits, lambda done, total: None, lambda: False)]


def _edit(prompt: str, mask: Mask | None, caption: str = "", size: tuple[int, int] = SIZE, seed: int = 0) -> Edit:
    image: Image.Image = textured(*size, seed=3 + seed)
    return Edit(image=image, prompt=prompt, source_prompt=caption, mask=mask, seed=seed)


def test_replayed_edits_equal_plain_ones_and_one_recording_serves_a_shape(small: SmallModels) -> None:
    recorder = _Recorder()
    plain, replayed = _method(small), _method(small, recorder)
    calls = [
        [_edit("a girl laughs", _box(16, 40))],
        [_edit("rage", _box(0, 20), seed=4)],  # all else of the same shapes
        [_edit("a girl laughs", _box(16, 40), "a girl stands")],  # with a caption: attention is aligned, too
        [_edit("a boy laughs loudly", _box(30, 60), "a boy stands")],
        [_edit("a", _box(16, 40)), _edit("b", None, seed=1)],
        [_edit("a girl laughs", None)],  # nothing to refine
        [_edit("a girl laughs", _box(16, 40))],
    ]
    made = []
    for edits in calls:
        made.append(_made(replayed, *edits))
        assert made[-1] == _made(plain, *edits)
    assert made[0] == made[-1]
    # plain and refined of one edit, refined with a caption, plain and refined of two; texts of one and of two, and the
    # autoencoder's two halves
    assert recorder.recordings == 5 + 2 + 2


def test_replayed_edits_keep_structure_in_the_same_steps_as_plain_ones(small: SmallModels) -> None:
    recorder = _Recorder()
    # two steps keep structure, three refine: structure and refined, refined alone, neither
    changes = {"preset": "objects", "steps": 4, "structure": 0.5}
    plain, replayed = _method(small, **changes), _method(small, recorder, **changes)
    for prompt in ("a girl laughs", "rage"):
        edit = _edit(prompt, _box(16, 40))
        assert _made(replayed, edit) == _made(plain, edit)
    assert recorder.recordings == 3 + 1 + 2  # texts, the autoencoder's two halves


def test_the_oldest_recordings_are_forgotten_and_results_are_the_callers_own() -> None:
    recorder = _Recorder()
    double = Replayed(lambda inputs: inputs["x"] * 2, recorder, most=2)
    first = double("a", {"x": torch.ones(3)})
    second = double("a", {"x": torch.full((3,), 5.0)})
    assert first.tolist() == [2, 2, 2] and second.tolist() == [10, 10, 10]
    double("b", {"x": torch.ones(3)})
    double("a", {"x": torch.ones(4)})  # the third recording: "a" of three is forgotten
    assert recorder.recordings == 3
    double("b", {"x": torch.ones(3)})
    assert recorder.recordings == 3
    assert double("a", {"x": torch.ones(3)}).tolist() == [2, 2, 2] and recorder.recordings == 4


def test_where_nothing_can_be_recorded_passes_run_as_they_are() -> None:
    def refuses(work: Callable[[], torch.Tensor]) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    double = Replayed(lambda inputs: inputs["x"] * 2, refuses)
    with pytest.warns(UserWarning, match="cannot be recorded here.*not permitted"):
        assert double("a", {"x": torch.ones(1)}).tolist() == [2]
    assert double("a", {"x": torch.ones(2)}).tolist() == [2, 2]

    def full(work: Callable[[], torch.Tensor]) -> Any:
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError):
        Replayed(lambda inputs: inputs["x"], full)("a", {"x": torch.ones(1)})


def test_only_a_gpu_records_and_the_setting_can_forbid_it() -> None:
    assert recorder_for(torch.device("cpu"), "auto") is None
    assert recorder_for(torch.device("cuda", 0), "off") is None


def test_a_pass_is_one_graph_without_a_look_at_any_value(small: SmallModels, monkeypatch: pytest.MonkeyPatch) -> None:
    # what would wait for a GPU or branch on a value cannot be captured, and breaks this graph, too
    method = _method(small, structure=0.5)
    plain = _made(method, _edit("a girl laughs", _box(16, 40), "a girl stands"))
    for name, work in {
        "_predict": method._pass,
        "_encode": lambda inputs: method._base.encode(inputs["pixels"]),
        "_decode": lambda inputs: method._base.decode(inputs["latent"]),
        "_states": lambda inputs: method._text.states(inputs["ids"]),
    }.items():
        compiled = torch.compile(work, backend="eager", fullgraph=True, dynamic=False)
        monkeypatch.setattr(method, name, lambda _, inputs, compiled=compiled: compiled(inputs))
    assert _made(method, _edit("a girl laughs", _box(16, 40), "a girl stands")) == plain


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_graphs_give_the_bytes_of_plain_passes(small: SmallModels) -> None:
    edits = [_edit("a girl laughs", _box(16, 40), "a girl stands"), _edit("rage", None, seed=1)]
    settings = EditSettings(steps=4, size=64)
    made = []
    for replay in ("auto", "off", "auto"):
        changed = settings.model_copy(update={"replay": replay})
        method = load_method("moodifier", small.base, small.moodify, changed)
        made.append([_made(method, *edits), _made(method, *edits)])  # recorded, then replayed
    assert made[0][0] == made[0][1] == made[1][0] == made[2][1]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the models are so small that threads would only wait for each other
    yield
    torch.set_num_threads(before)
