"""`moodarchive edit` as a person types it: one photo or many, what goes wrong, and what the files then say."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from editor.job import Editor
from editor.methods.moodifier import InversionFree
from editor.provenance import read_record
from moodarchive.errors import EditError, MissingWeightsError, MoodArchiveError, PictureError
from pipelines.commands.app import app
from tests.editor.plan_server import GOOD, LONG, plan_server
from tests.editor.small_models import SmallModels, small_models
from tests.moodarchive.diffusion.small_emoeditor import small_emoeditor
from tests.moodarchive.diffusion.small_epem import small_blip2, small_epem


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallModels:
    return small_models(tmp_path_factory.mktemp("small-models"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 0.0)}
    noise = np.random.default_rng(3).integers(60, 200, (24, 40, 3), np.uint8)
    path = tmp_path / "photo.jpg"
    Image.fromarray(noise).resize((200, 120)).save(path, exif=exif)
    return path


def _edit(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["edit", *map(str, arguments)])


def _small(small: SmallModels) -> tuple[object, ...]:
    return ("--model", small.moodify, "--base", small.base, "--size", 64, "--steps", 2)


def test_a_served_models_plan_becomes_an_edit_that_says_so(small: SmallModels, photo: Path) -> None:
    out = photo.parent / "out.png"
    with plan_server() as server:
        asked = ("--server", server.url, "--emotion", "joy", "-o", out, "--seed", 5)
        done = _edit(photo, *asked, *_small(small))
        assert done.exit_code == 0, done.output
        first = out.read_bytes()
        assert _edit(photo, *asked, *_small(small)).exit_code == 0
    assert out.read_bytes() == first
    assert (
        done.stdout.strip() == str(out) and str(GOOD["prompt"]) in done.stderr and "50% of the picture" in done.stderr
    )
    record = read_record(out)
    assert record is not None
    assert (record.emotion, record.seed, record.prompt_by, record.region_by) == (
        "joy",
        5,
        "served model",
        "served model",
    )
    assert record.base.startswith("base sha256:") and record.model.startswith("model sha256:")
    assert str(photo.parent) not in first.decode("latin-1")
    with Image.open(out) as made, Image.open(photo) as source:
        assert made.size == (120, 200) and not made.getexif()  # upright, and nothing of the place
        upright = np.asarray(source.transpose(Image.Transpose.ROTATE_270))
        assert np.array_equal(np.asarray(made)[100:], upright[100:])  # outside the plan's box
        assert not np.array_equal(np.asarray(made)[:90], upright[:90])


def test_a_plans_prompt_ends_with_the_last_sentence_that_the_text_tower_reads(small: SmallModels, photo: Path) -> None:
    out = photo.parent / "out.png"
    sentence = "Yellow flowers shine along the near shore, each with a drop of dew and the first light upon it, at"
    plan = {**LONG, "stimuli": [f"{sentence} {hour}." for hour in ("six", "seven", "eight")]}
    prompts = []
    for tower in ("clip", "moodify"):
        with plan_server(plan) as server:
            done = _edit(
                photo, "--server", server.url, "--emotion", "joy", "-o", out, "--text-encoder", tower, *_small(small)
            )
        assert done.exit_code == 0 and "longer than" not in done.stderr, done.output
        record = read_record(out)
        assert record is not None
        prompts.append(record.prompt)
    cut, whole = prompts  # 77 and 248 tokens
    assert whole.endswith("at eight.") and whole.startswith(cut) and len(cut) < len(whole)
    assert cut.endswith(("at six.", "at seven."))


def test_photos_and_emotions_fill_a_folder_and_a_bad_photo_is_told_and_left_out(
    small: SmallModels, photo: Path, tmp_path: Path
) -> None:
    Image.new("CMYK", (80, 80)).save(tmp_path / "print.jpg")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    emotions = ("--emotion", "joy", "--emotion", "fear", "--emotion", "joy")
    names = [tmp_path / name for name in ("photo.jpg", "broken.png", "print.jpg")]
    boxed = ("--box", "0,0,0.5,1", "--plain-prompt")
    done = _edit(*names, *emotions, "-o", tmp_path / "out", *boxed, *_small(small))
    assert done.exit_code == 1 and "broken.png" in done.stderr and "1 of 3" in done.stderr
    assert sorted(os.listdir(tmp_path / "out")) == [
        "photo-fear.png",
        "photo-joy.png",
        "print-fear.png",
        "print-joy.png",
    ]
    assert "CMYK became RGB" in done.stderr
    record = read_record(tmp_path / "out" / "photo-fear.png")
    assert record is not None and record.prompt == "A photo that evokes fear." and record.region_by == "given"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            torch.AcceleratorError("CUDA error: unspecified launch failure"),
            "the GPU failed during 1 edit at.*nvidia-smi",
        ),
        (torch.OutOfMemoryError("CUDA out of memory."), "no room for 1 edit at size 64.*remedy: a smaller --size"),
    ],
)
def test_a_gpu_that_fails_is_told_and_the_same_command_goes_on(
    small: SmallModels, photo: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    other, out, passes, real = photo.parent / "other.jpg", photo.parent / "edits", [0], InversionFree._pass
    Image.open(photo).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(other)
    command = (
        photo,
        other,
        "--emotion",
        "joy",
        "--prompt",
        "a girl laughs",
        "--whole",
        "-o",
        f"{out}/",
        *_small(small),
    )

    def fails(method: InversionFree, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        passes[0] += 1
        if passes[0] == 3:  # in the second photo, of two steps each
            raise error
        return real(method, inputs)

    with monkeypatch.context() as patch:
        patch.setattr(InversionFree, "_pass", fails)
        done = _edit(*command)
    assert done.exit_code != 0 and isinstance(done.exception, EditError) and re.search(words, str(done.exception))
    first = (out / "photo-joy.png").read_bytes()
    assert os.listdir(out) == ["photo-joy.png"]
    assert _edit(*command).exit_code == 0
    assert (out / "photo-joy.png").read_bytes() == first and (out / "other-joy.png").is_file()


def test_a_painted_mask_and_a_prompt_need_nobody(small: SmallModels, photo: Path, tmp_path: Path) -> None:
    mask = Image.new("L", (120, 200))
    mask.paste(255, (0, 0, 120, 80))
    mask.save(tmp_path / "mask.png")
    given = ("--mask", tmp_path / "mask.png", "--prompt", "A golden lake", "--text-encoder", "clip")
    out = tmp_path / "out.jpg"
    done = _edit(photo, "--emotion", "joy", "-o", out, *given, "--base", small.base, "--size", 64, "--steps", 2)
    assert done.exit_code == 0, done.output
    record = read_record(out)
    assert record is not None and record.prompt_by == record.region_by == "given" and record.model == ""


def test_a_photo_is_never_written_over(photo: Path, tmp_path: Path) -> None:
    before = photo.read_bytes()
    other = tmp_path / "other.png"
    Image.new("RGB", (64, 64)).save(other)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "photo.png").write_bytes(before)
    link = tmp_path / "link.jpg"
    link.symlink_to(photo)
    for pictures, out, says in (
        ([photo], photo, "written over"),
        ([photo], link, "written over"),
        ([photo], other, "no edit of ours"),
        ([photo, tmp_path / "a" / "photo.png"], tmp_path / "out", "written over"),
        ([photo, other], tmp_path / "one.png", "is one file"),
        ([photo], tmp_path / "out.exe" / "x.gif.png" / ".." / "y.jpeg2", ""),
    ):
        done = _edit(*pictures, "--emotion", "joy", "-o", out, "--base", "/absent")
        assert isinstance(done.exception, EditError | MissingWeightsError), done.output
        assert says in str(done.exception)
    assert photo.read_bytes() == before and Image.open(other).getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("--emotion", "joi"), EditError, "did you mean 'joy'"),
        (("--emotion", "joy", "--box", "1,2"), EditError, "legal are"),
        (("--emotion", "joy", "--method", "magic"), EditError, "moodifier"),
        (("--emotion", "joy", "--steps", "0"), EditError, "steps = 0"),
        (("--emotion", "joy", "--strength", "2"), EditError, "strength = 2"),
        (("--emotion", "joy", "--whole", "--box", "0,0,1,1"), EditError, "exclude"),
        (("--emotion", "joy", "--mask", "m.png", "--box", "0,0,1,1"), EditError, "--mask excludes --box"),
        (("--emotion", "joy", "--mask", "m.png", "--whole"), EditError, "--mask excludes"),
        (("--emotion", "joy", "--prompt", " "), EditError, "the prompt is blank"),
        (("--emotion", "joy", "--prompt", "\t"), EditError, "the prompt is blank"),
        (("--emotion", "Joy"), EditError, "did you mean 'joy'"),
        (("--emotion", "uncaring"), EditError, "'uncaring' is no emotion."),
        (("--emotion", "joy", "--base", "/absent"), MissingWeightsError, "GB"),
        (("--emotion", "joy", "--mask", "/absent.png"), PictureError, "/absent.png"),
    ],
)
def test_a_mistake_is_told_with_what_is_legal(
    small: SmallModels, photo: Path, arguments: tuple[str, ...], error: type[Exception], says: str
) -> None:
    base = () if "--base" in arguments else ("--base", small.base)
    done = _edit(photo, "-o", photo.parent / "out.png", "--model", small.moodify, *base, *arguments)
    assert isinstance(done.exception, error) and says in str(done.exception), done.exception
    assert not (photo.parent / "out.png").exists()


@pytest.mark.parametrize("name", ["out.gif", "out.tiff", "out.PNG2", "new/out.avif", "edits.v2"])
def test_an_ending_that_no_edit_has_is_refused_and_no_folder_of_that_name_is_made(
    photo: Path, tmp_path: Path, name: str
) -> None:
    for pictures in ([photo], [photo, photo.with_name("other.jpg")]):
        done = _edit(*pictures, "--emotion", "joy", "-o", tmp_path / name, "--base", "/absent")
        assert isinstance(done.exception, EditError)
        assert re.search(r"neither a folder nor one of \.png.*remedy.*/ at the end", str(done.exception))
    assert not (tmp_path / name).exists()


def test_a_new_folder_with_a_point_in_its_name_is_one_by_its_slash(
    small: SmallModels, photo: Path, tmp_path: Path
) -> None:
    asked = ("--emotion", "joy", "--whole", "--plain-prompt", *_small(small))
    done = _edit(photo, "-o", f"{tmp_path}/edits.v2/", *asked)
    assert done.exit_code == 0, done.output
    done = _edit(photo, "-o", tmp_path / "edits.v2", *asked)  # now it is there
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "edits.v2").iterdir()] == ["photo-joy.png"]


def test_a_prompt_over_the_encoders_length_is_edited_and_told(small: SmallModels, photo: Path, tmp_path: Path) -> None:
    prompt = " ".join(["grass"] * 246 + ["thunder"])
    done = _edit(photo, "-o", tmp_path / "out.png", "--emotion", "joy", "--whole", "--prompt", prompt, *_small(small))
    assert done.exit_code == 0 and "longer than the text encoder reads" in done.stderr and "'thunder'" in done.stderr
    done = _edit(photo, "-o", tmp_path / "b.png", "--emotion", "joy", "--whole", "--prompt", "grass", *_small(small))
    assert done.exit_code == 0 and "longer than" not in done.stderr


def test_emoeditor_needs_the_emotion_alone_and_says_how_the_loop_ended(
    small: SmallModels, photo: Path, tmp_path: Path
) -> None:
    folder = small_emoeditor(tmp_path / "emoeditor", small.instruct)
    out = tmp_path / "out.png"
    asked = ("--method", "emoeditor", "--emotion", "fear", "-o", out, "--size", 32, "--steps", 2, "--rounds", 1)
    done = _edit(photo, *asked, "--base", folder)
    assert done.exit_code == 0, done.output
    assert "after 1 round" in done.stderr and "region (none): everywhere" in done.stderr
    record = read_record(out)
    assert record is not None and record.settings["iei"]["rounds"] == 1 and record.prompt == ""
    with Image.open(out) as made:
        assert made.size == (120, 200)
    refused = _edit(photo, *asked)
    assert isinstance(refused.exception, MissingWeightsError) and "kind = emoeditor" in str(refused.exception)


def language_model_without_blocks(folder: Path) -> Path:
    """What a caption editor's folder needs to be looked at, with the configuration of a BLIP-2 of T5 and no weights."""
    made = folder / "t5"
    (made / "captioner").mkdir(parents=True)
    config = {"model_type": "blip-2", "text_config": {"model_type": "t5", "num_layers": 24}}
    (made / "captioner/config.json").write_text(json.dumps(config))
    for name in ("language_editor.json", "language_editor.safetensors"):
        (made / name).write_bytes(b"nothing to read")
    return made


def test_epem_takes_an_instruction_and_a_caption_and_says_what_is_wrong_with_either(
    small: SmallModels, photo: Path, tmp_path: Path
) -> None:
    folder, out = small_epem(tmp_path / "epem", small.base, small_blip2(tmp_path / "blip2")), tmp_path / "out.png"
    asked = ("--method", "epem", "-o", out, "--size", 32, "--steps", 2, "--base", folder)
    instruction = "Please change the emotion of this image from anger to contentment."
    done = _edit(photo, *asked, "--instruction", instruction, "--prompt", "a calm lake")
    assert done.exit_code == 0, done.output
    record = read_record(out)
    assert record is not None and (record.emotion, record.prompt) == ("contentment", "a calm lake")
    assert record.settings["instruction"] == instruction and record.settings["eic"] is True
    assert "iei" not in record.settings
    for weights in folder.rglob("*.safetensors"):
        weights.write_bytes(b"nothing to read")  # what comes too late would name them
    for given, says in (
        (("--instruction", "make it blue"), "names no known emotion; remedy"),
        (("--instruction", "make it sad and calm"), "names several emotions: sadness, contentment"),
        (("--emotion", "joy", "--instruction", "make it sad"), "give one of the two"),
        ((), "wanted is --emotion, or for epem an --instruction"),
        (("--emotion", "rage"), "is no emotion"),
        (("--emotion", "curiosity", "--prompt", "a riddle"), "none of Mikels' eight"),
        (("--emotion", "awe"), "--model with a trained caption editor, or --prompt"),
        (("--instruction", "make it curious", "--prompt", "a riddle"), "none of Mikels' eight"),
        (("--emotion", "awe", "--model", str(tmp_path)), "is no caption editor"),
        (("--emotion", "awe", "--model", language_model_without_blocks(tmp_path)), "no blocks fc1 and fc2"),
    ):
        refused = _edit(photo, *asked, *given)
        assert isinstance(refused.exception, MoodArchiveError) and says in str(refused.exception), (given, refused)
    config = folder / "unet/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "cross_attention_dim": 96}))
    refused = _edit(photo, *asked, "--instruction", instruction, "--prompt", "a calm lake")
    assert isinstance(refused.exception, EditError)
    assert re.search("has width 64, wanted is 96 .*; remedy: parts of one base", str(refused.exception))
    plain = _edit(photo, "-o", out, "--emotion", "awe", *_small(small))
    assert "remedy for moodifier: admiration or surprise" in str(plain.exception)
    other = _edit(photo, "-o", out, "--instruction", instruction, *_small(small))
    assert "--instruction is epem's" in str(other.exception)


@pytest.mark.parametrize(("options", "expected"), [((), True), (("--no-eic",), False)])
def test_the_studio_edits_by_epem_with_its_language_half_or_without(
    options: tuple[str, ...], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Editor] = []
    monkeypatch.setattr("editor.studio.serve.serve", lambda editor, *rest, **given: served.append(editor))
    done = CliRunner().invoke(app, ["studio", "--method", "epem", "--base", "folder", *options])
    assert done.exit_code == 0, done.output
    assert [(editor.method, editor.settings.eic) for editor in served] == [("epem", expected)]
