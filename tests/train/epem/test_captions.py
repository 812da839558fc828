"""A caption editor's training learns what it names and nothing else, and a resumed run has the bits of an unbroken one.

Small models of random weights: they prove plumbing and no quality.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from moodarchive.errors import ConfigError, DatasetError, EditError
from moodarchive.language_edit.caption_editor import CAPTIONER, edit_weights, open_caption_editor
from moodarchive.language_edit.captioner import open_captioner
from moodarchive.language_edit.prompts import PLAIN, prompt_of
from moodarchive.language_edit.records import read_records, request_of, write_records
from pipelines.commands.app import app
from pipelines.demo.pairs.captions import drawn_caption, drawn_request
from pipelines.demo.pairs.drawn_captioner import make_captioner
from tests.making import textured
from tests.moodarchive.language_edit.small import SHAPE
from tests.train.small import digests, train_killed
from train.epem.caption_loss import CaptionEditLoss, see_pictures, write_captions
from train.epem.caption_pairs import RecordedPairs
from train.epem.caption_settings import CaptionEditorSettings
from train.epem.captions import make_editor, train_captions

STEPS = 4


def _record(number: int, **changes: Any) -> dict[str, Any]:
    request = drawn_request("face", number, "joy", "anger")
    return {
        "id": f"facial-{number:05d}", "element": "facial", "image": f"original/{number}.png",
        "caption": request.caption, "emotion": request.emotion, "instruction": request.instruction,
        "edited_caption": drawn_caption("face", number, "anger"), "edited_emotion": "anger",
        "edited_image": f"edited/{number}.png", "split": "train", **changes,
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A captioner, and a set of six records of which four are learnt from."""
    top = tmp_path_factory.mktemp("made")
    make_captioner(top / "captioner", SHAPE, seed=3)
    (top / "set" / "original").mkdir(parents=True)
    changes: list[dict[str, Any]] = [{}, {}, {}, {}, {"split": "test"}, {"status": "rejected", "reason": "span"}]
    for number in range(len(changes)):
        textured(24, 24, number).save(top / "set" / "original" / f"{number}.png")
    write_records(top / "set" / "records.jsonl", (_record(number, **one) for number, one in enumerate(changes)))
    return top


def _settings(made: Path, output: Path, **given: Any) -> CaptionEditorSettings:
    schedule = {
        "steps": STEPS, "batch": 2, "learning_rate": 1e-2, "warmup_steps": 0, "decay_steps": 2, "average": 0,
        "weight_decay": 0,
    }  # fmt: skip
    values = {
        "output": str(output), "records": str(made / "set/records.jsonl"), "captioner": str(made / "captioner"),
        "rank": 4, "step": 0.1, "step_rate": 10.0, "locality_weight": 0.5, "schedule": schedule,
        "checkpoint_steps": 2, "threads": 1, **given,
    }  # fmt: skip
    return CaptionEditorSettings.model_validate(values)


@pytest.fixture(scope="module")
def trained(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained")
    train_captions(_settings(made, output), lambda report: None)
    return output


def test_the_captioner_keeps_its_bits_and_all_of_the_editor_learns(made: Path, trained: Path) -> None:
    assert digests(trained / "model" / CAPTIONER) == digests(made / "captioner")
    model = open_caption_editor(trained / "model").model
    captioner = open_captioner(made / "captioner")
    begun = make_editor(captioner, _settings(made, trained)).state_dict()
    still = [name for name, tensor in model.state_dict().items() if tensor.equal(begun[name])]
    assert not still
    weights = sum(path.stat().st_size for path in (trained / "checkpoints").rglob("model.safetensors"))
    assert weights < 2 * 2 * 1.2 * sum(4 * tensor.numel() for tensor in begun.values()) + 100_000  # no captioner in it


def test_a_killed_run_goes_on_with_the_same_bits(made: Path, trained: Path, tmp_path: Path) -> None:
    assert train_killed(lambda listen: train_captions(_settings(made, tmp_path), listen)) == [3, 4]
    assert digests(tmp_path / "model") == digests(trained / "model")
    logs = [(folder / "checkpoints" / "training.jsonl").read_text() for folder in (tmp_path, trained)]
    assert logs[0] == logs[1]
    assert all({"caption", "emotion", "locality", "rate"} <= json.loads(line).keys() for line in logs[0].splitlines())
    with pytest.raises(ConfigError, match=r"locality_weight was 0\.5, is 0\.1"):
        train_captions(_settings(made, tmp_path, locality_weight=0.1), lambda report: None)


def test_the_first_loss_is_the_weighted_sum_of_its_parts_and_locality_is_always_measured(
    made: Path, tmp_path: Path
) -> None:
    captioner, terms = open_captioner(made / "captioner"), {}
    for weight in (0.0, 2.0):
        settings = _settings(made, tmp_path, locality_weight=weight)
        pairs = RecordedPairs(Path(settings.records))
        model = make_editor(captioner, settings).train()
        pictures = see_pictures(captioner, pairs, "same", tmp_path / "cache")
        loss = CaptionEditLoss(captioner=captioner, model=model, pairs=pairs, pictures=pictures, settings=settings)
        value = loss(0)
        terms[weight] = loss.terms
        summed = loss.terms["caption"] + 0.5 * loss.terms["emotion"] + weight * loss.terms["locality"]
        assert float(value.detach()) == pytest.approx(summed, rel=1e-5)
        value.backward()
        assert model.editor.steps.grad is not None and (model.editor.steps.grad != 0).all()
    assert terms[0.0] == terms[2.0] and terms[0.0]["locality"] > 0


def test_the_captions_of_several_other_pictures_count_token_by_token(made: Path, tmp_path: Path) -> None:
    captioner, settings = open_captioner(made / "captioner"), _settings(made, tmp_path)
    pairs = RecordedPairs(Path(settings.records))
    model = make_editor(captioner, settings)
    pictures = see_pictures(captioner, pairs, "same", tmp_path / "cache")
    loss = CaptionEditLoss(captioner=captioner, model=model, pairs=pairs, pictures=pictures, settings=settings)
    edited = edit_weights(captioner, model, captioner.see([pairs.image(0)])[0], pairs.request(0))
    lengths = [len(captioner.ids(pairs.request(row).caption)) + 1 for row in (1, 2, 3)]
    assert len(set(lengths)) > 1  # the shorter ones are padded
    alone = [float(loss._strayed([row], edited).detach()) for row in (1, 2, 3)]
    together = float(loss._strayed([1, 2, 3], edited).detach())
    assert together == pytest.approx(np.average(alone, weights=lengths), rel=1e-3) and min(alone) > 0


def test_locality_can_be_measured_along_the_captions_that_the_model_writes_itself(made: Path, tmp_path: Path) -> None:
    captioner, settings = open_captioner(made / "captioner"), _settings(made, tmp_path, locality_captions="own")
    pairs = RecordedPairs(Path(settings.records))
    pictures = see_pictures(captioner, pairs, "same", tmp_path)
    own = write_captions(captioner, pictures, "same", tmp_path)
    assert own == [captioner.write(captioner.see([pairs.image(row)])[0], PLAIN) for row in range(len(pairs))]
    assert write_captions(captioner, pictures, "same", tmp_path) == own  # read from the cache
    assert own[0] != pairs.request(0).caption
    model = make_editor(captioner, settings)
    parts = {"captioner": captioner, "model": model, "pairs": pairs, "pictures": pictures, "settings": settings}
    edited = edit_weights(captioner, model, captioner.see([pairs.image(0)])[0], pairs.request(0))
    along = [CaptionEditLoss(**parts, own=of)._strayed([1], edited) for of in (own, None)]
    assert float(along[0].detach()) != float(along[1].detach())
    train_captions(settings, lambda report: None)
    assert json.loads((tmp_path / "cache/captions.json").read_text())["captions"] == own


def test_training_on_one_row_makes_its_caption_likely(made: Path, tmp_path: Path) -> None:
    schedule = {
        "steps": 60, "batch": 1, "learning_rate": 1e-2, "warmup_steps": 0, "decay_steps": 20, "average": 0,
        "weight_decay": 0,
    }  # fmt: skip
    write_records(made / "set" / "one.jsonl", [_record(0)])
    shutil.copytree(made / "captioner", tmp_path / "captioner")
    captioner = open_captioner(tmp_path / "captioner")
    with torch.no_grad():  # words of random weights lie too near each other for any of them to become likely
        captioner.model.get_input_embeddings().weight.mul_(15)
    captioner.model.save_pretrained(tmp_path / "captioner")
    settings = _settings(
        made, tmp_path, records=str(made / "set/one.jsonl"), schedule=schedule, locality_weight=0.0, rank=16,
        checkpoint_steps=60, captioner=str(tmp_path / "captioner"),
    )  # fmt: skip
    losses: list[float] = []
    editor = open_caption_editor(train_captions(settings, lambda report: losses.append(report.loss)))
    assert losses[-1] < 0.7 * losses[0]
    pairs = RecordedPairs(Path(settings.records))
    picture, request = editor.captioner.see([pairs.image(0)])[0], pairs.request(0)
    prompt, answer = (editor.captioner.ids(text) for text in (prompt_of(request), f" {pairs.edited_caption(0)}"))
    losses_by = []
    for weights in (None, edit_weights(editor.captioner, editor.model, picture, request)):
        logits = editor.captioner.logits(editor.captioner.answer_states(picture, prompt, answer, weights))
        losses_by.append(float(torch.nn.functional.cross_entropy(logits, torch.tensor(answer)).detach()))
    assert losses_by[1] < 0.7 * losses_by[0]  # what is opened has learnt it, by the edit alone


def test_records_come_back_byte_for_byte_and_their_mistakes_are_named(made: Path, tmp_path: Path) -> None:
    path = made / "set" / "records.jsonl"
    records = read_records(path)
    assert write_records(tmp_path / "records.jsonl", records) == 6
    assert (tmp_path / "records.jsonl").read_bytes() == path.read_bytes()
    assert request_of(records[0]) == drawn_request("face", 0, "joy", "anger")
    for changes, message in (
        ({"emotion": "joy"}, "line 2: emotion = 'joy' is none of amusement"),
        ({"element": "sky"}, "line 2: element = 'sky' is none of facial"),
        ({"image": "../etc/passwd"}, "leads out of the folder"),
        ({"caption": ""}, "caption has 0 characters"),
        ({"edited_caption": None}, "edited_caption is no text"),
        ({"mood": "x"}, "unknown field 'mood'"),
    ):
        write = [_record(0), {**_record(1), **changes}]
        text = "".join(json.dumps(one) + "\n" for one in write)
        (tmp_path / "bad.jsonl").write_text(text)
        with pytest.raises(DatasetError, match=message):
            read_records(tmp_path / "bad.jsonl")
    (tmp_path / "bad.jsonl").write_text("{}\n")
    with pytest.raises(DatasetError, match="line 1: lacks id, element"):
        read_records(tmp_path / "bad.jsonl")


def test_mistakes_are_named_before_anything_loads(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="records is not named"):
        train_captions(_settings(made, tmp_path, records=""), lambda report: None)
    with pytest.raises(ConfigError, match="captioner is not named"):
        train_captions(_settings(made, tmp_path, captioner=""), lambda report: None)
    with pytest.raises(EditError, match="has 4 layers, 9 are edited"):
        train_captions(_settings(made, tmp_path, layers=9), lambda report: None)
    write_records(tmp_path / "records.jsonl", [_record(0, split="test")])
    with pytest.raises(DatasetError, match="no kept record of the split train"):
        RecordedPairs(tmp_path / "records.jsonl")
    write_records(tmp_path / "records.jsonl", [_record(0)])
    with pytest.raises(DatasetError, match=r"original/0\.png: missing; remedy"):
        train_captions(_settings(made, tmp_path, records=str(tmp_path / "records.jsonl")), lambda report: None)


def test_the_command_trains_by_the_files_kind(made: Path, tmp_path: Path) -> None:
    settings = _settings(made, tmp_path / "run")
    lines = [
        'kind = "epem-captions"', f'output = "{settings.output}"', f'records = "{settings.records}"',
        f'captioner = "{settings.captioner}"', "rank = 4", "threads = 1", "[schedule]", "steps = 1", "batch = 1",
        "learning_rate = 0.001",
    ]  # fmt: skip
    (tmp_path / "train.toml").write_text("\n".join(lines))
    result = CliRunner().invoke(app, ["train", str(tmp_path / "train.toml")])
    assert result.exit_code == 0, result.output
    assert "the caption editor is in" in result.output
    assert torch.isfinite(open_caption_editor(tmp_path / "run" / "model").model.editor.steps).all()


def test_the_command_refuses_a_language_model_without_such_blocks_by_its_configuration(
    made: Path, tmp_path: Path
) -> None:
    (tmp_path / "t5").mkdir()
    config = {"model_type": "blip-2", "text_config": {"model_type": "t5", "num_layers": 24}}
    (tmp_path / "t5/config.json").write_text(json.dumps(config))  # there are no weights to read
    settings = _settings(made, tmp_path / "run", captioner=str(tmp_path / "t5"))
    lines = [f'{name} = "{getattr(settings, name)}"' for name in ("kind", "output", "records", "captioner")]
    (tmp_path / "train.toml").write_text("\n".join(lines))
    refused = CliRunner().invoke(app, ["train", str(tmp_path / "train.toml")])
    assert isinstance(refused.exception, EditError)
    assert "no blocks fc1 and fc2 that can be edited; remedy" in str(refused.exception)
