"""EPEM's sampling is diffusers' own under PER's condition, its words are a person's or the edited model's."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from editor.edit import Edit, EditStopped
from editor.job import settings_with
from editor.loading import load_method
from editor.methods.canvas import to_pixels
from editor.methods.epem import EDITED, PERSON, UNEDITED, Epem, Written
from moodarchive.diffusion.retaining import predict_noise
from moodarchive.errors import EditError, MissingWeightsError
from moodarchive.language_edit.caption_editor import save_caption_editor
from tests.editor.small_models import SmallModels
from tests.making import textured
from tests.moodarchive.diffusion.small_epem import small_blip2, small_epem
from tests.moodarchive.language_edit.small import small_captioner, trained_editor

SMALL = {"size": 32, "steps": 3, "batch": 4}
INSTRUCTION = "Please change the emotion of this image from anger to awe."


@pytest.fixture(scope="module")
def folder(small: SmallModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("epem")
    return small_epem(top / "epem", small.base, small_blip2(top / "blip2"))


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("language")
    captioner = small_captioner(top / "captioner")
    save_caption_editor(top / "editor", trained_editor(captioner).model, top / "captioner")
    return top / "editor"


def _open(folder: Path, language: Path | None = None, **given: object) -> Epem:
    settings = settings_with("epem", **{**SMALL, **given})
    method = load_method("epem", str(folder), str(language) if language else None, settings)
    assert isinstance(method, Epem)
    return method


def _edits(count: int = 3) -> list[Edit]:
    return [
        Edit(
            image=textured(40, 40, seed=seed),
            prompt=f"a lake {seed}",
            emotion="awe",
            instruction=INSTRUCTION,
            seed=seed,
        )
        for seed in range(count)
    ]


def _made(method: Epem, edits: list[Edit]) -> list[np.ndarray]:
    return [np.asarray(image) for image in method.edit(edits, lambda done, total: None, lambda: False)]


@torch.inference_mode()
def test_the_sampling_is_ddim_with_guidance_from_the_branch_without_words(folder: Path) -> None:
    from diffusers import DDIMScheduler

    method = _open(folder, guidance=3.0)
    pixels = to_pixels(textured(32, 32, seed=1))
    words = [Written(instruction=INSTRUCTION, caption="a lake", by=PERSON)]
    from editor.methods.batches import Steps

    steps = Steps(total=3, progress=lambda done, total: None, stopped=lambda: False)
    found = method._sample(pixels, words, [7], method._times(), steps)
    schedule = DDIMScheduler.from_pretrained(folder / "scheduler", clip_sample=False)
    schedule.set_timesteps(3)
    mode = method.vae.encode(pixels).latent_dist.mode()
    seen = method.vision(((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8))
    conditions = [
        method.retaining(
            seen=seen,
            image=mode,
            words=method.reader([x]),
            text=method.text.states(method.text.ids(method.text.tokens([text]))),
            kept=torch.tensor([kept]),
        )
        for x, text, kept in (("", "", 0.0), (INSTRUCTION, f"{INSTRUCTION} a lake", 1.0))
    ]
    latents = torch.randn(mode.shape, generator=torch.Generator().manual_seed(7))
    for now in schedule.timesteps:
        without, with_words = (predict_noise(method.unet, latents, mode, now[None], each) for each in conditions)
        latents = schedule.step(without + 3.0 * (with_words - without), now, latents).prev_sample
    assert found.allclose(latents, atol=1e-4)
    assert not found.allclose(method._sample(pixels, words, [8], method._times(), steps), atol=1e-2)


def test_a_batch_gives_what_singles_give_and_a_stop_gives_nothing(folder: Path) -> None:
    torch.set_num_threads(1)
    method, edits = _open(folder), _edits()
    together = _made(method, edits)
    assert all(image.shape == (40, 40, 3) for image in together)
    for edit, image in zip(edits, together, strict=True):
        (alone,) = _made(method, [edit])
        assert np.abs(alone.astype(int) - image).max() <= 1
    assert np.array_equal(_made(_open(folder), edits[:1])[0], _made(method, edits[:1])[0])
    told: list[int] = []
    with pytest.raises(EditStopped, match="after 1 of 3 steps"):
        method.edit(edits, lambda done, total: told.append(done), lambda: bool(told))
    half = _open(folder, strength=0.4)
    assert len(half._times()) == 1 and _made(half, edits[:1])[0].shape == (40, 40, 3)
    with pytest.raises(EditError, match="leave no step; remedy"):
        _made(_open(folder, strength=0.1), edits[:1])


def test_the_words_are_the_edited_models_or_a_persons(folder: Path, language: Path) -> None:
    photo = textured(40, 40, seed=1)
    bare = _open(folder)
    written = bare.write(photo, "admiration", "", "a mountain")
    assert written.instruction == "Please change the emotion of this image to awe." and written.by == PERSON
    with pytest.raises(EditError, match="--model with a trained caption editor, or --prompt"):
        bare.write(photo, "awe")
    with pytest.raises(EditError, match="the instruction asks for awe, the emotion is fear; remedy"):
        bare.write(photo, "fear", INSTRUCTION, "a mountain")
    with pytest.raises(EditError, match="none of Mikels' eight"):
        bare.write(photo, "curiosity", "", "a riddle")
    method, plain = _open(folder, language), _open(folder, language, eic=False)
    assert method.captions is not None
    before = {name: tensor.clone() for name, tensor in method.captions.captioner.model.state_dict().items()}
    edited, unedited = method.write(photo, "awe", INSTRUCTION), plain.write(photo, "awe", INSTRUCTION)
    assert (edited.by, unedited.by) == (EDITED, UNEDITED)
    assert edited.source_caption == unedited.source_caption == method.captions.describe(photo)
    expected = method.captions.edit_caption(photo, edited.source_caption, "anger", INSTRUCTION, "awe").text
    assert edited.caption == expected != unedited.caption
    assert method.write(photo, "awe", INSTRUCTION, "my words").caption == "my words"
    # without "from X" the model itself says what the picture evokes
    guessed = method.write(photo, "awe").instruction
    assert guessed.startswith("Please change the emotion of this image from ") and guessed.endswith(" to awe.")
    after = method.captions.captioner.model.state_dict()
    assert all(after[name].equal(tensor) for name, tensor in before.items())


def test_what_does_not_fit_is_told_before_a_weight_is_read(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    for weights in copy.rglob("*.safetensors"):
        weights.write_bytes(b"nothing to read")  # reading it would be another error
    unet = json.loads((copy / "unet/config.json").read_text())
    for change, says in (
        ({"in_channels": 8}, "takes 8 channels"),
        ({"cross_attention_dim": 96}, "has width 64, wanted is 96"),
        ({"block_out_channels": [16, 32, 64]}, "the adapter's input has width 32, wanted is 16"),
    ):
        (copy / "unet/config.json").write_text(json.dumps({**unet, **change}))
        with pytest.raises(EditError, match=says):
            _open(copy)
    (copy / "retaining.json").unlink()
    with pytest.raises(MissingWeightsError, match=r"lacks retaining.json; .*kind = epem"):
        _open(copy)
    with pytest.raises(MissingWeightsError, match="no EPEM is named"):
        load_method("epem", "", None, settings_with("epem"))


def test_a_language_model_without_such_blocks_is_told_from_its_configuration(
    folder: Path, language: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(language, tmp_path / "copy"))
    config = json.loads((copy / "captioner/config.json").read_text())
    config["text_config"]["model_type"] = "t5"
    (copy / "captioner/config.json").write_text(json.dumps(config))
    for weights in copy.rglob("*.safetensors"):
        weights.write_bytes(b"nothing to read")
    with pytest.raises(EditError, match="its decoder has no blocks fc1 and fc2 that can be edited; remedy"):
        _open(folder, copy)
    with pytest.raises(MissingWeightsError, match=r"is no caption editor .*kind = epem-captions"):
        _open(folder, tmp_path)
