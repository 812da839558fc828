"""EmoEditor's pass is InstructPix2Pix's where nothing is new, and its loop gives each row its own."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from editor.edit import Edit, EditSettings, EditStopped
from editor.job import settings_with
from editor.loading import load_method
from editor.methods.canvas import to_pixels
from editor.methods.emoeditor import EmoEditor
from moodarchive.diffusion.emotion import Condition
from moodarchive.errors import EditError, MissingWeightsError
from tests.editor.small_models import SmallModels
from tests.making import textured
from tests.moodarchive.diffusion.small_emoeditor import small_emoeditor

SMALL = {"size": 32, "steps": 4, "rounds": 3, "batch": 4, "ssim_window": 7}


@pytest.fixture(scope="module")
def folders(small: SmallModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Condition, Path]]:
    top = tmp_path_factory.mktemp("emoeditor")
    kinds: tuple[Condition, ...] = ("direction", "onehot", "text")
    yield {kind: small_emoeditor(top / kind, small.instruct, kind) for kind in kinds}


def _open(folder: Path, **given: object) -> EmoEditor:
    method = load_method("emoeditor", str(folder), None, settings_with("emoeditor", **{**SMALL, **given}))
    assert isinstance(method, EmoEditor)
    return method


def _edits(emotion: str = "awe", count: int = 3) -> list[Edit]:
    return [Edit(image=textured(40, 40, seed=seed), prompt="", emotion=emotion, seed=seed) for seed in range(count)]


def _no_stop() -> bool:
    return False


@torch.inference_mode()
def test_text_and_pure_noise_in_one_pass_is_diffusers_pipeline_without_guidance(
    folders: dict[Condition, Path], small: SmallModels
) -> None:
    from diffusers import DDIMScheduler, StableDiffusionInstructPix2PixPipeline

    torch.set_num_threads(1)
    method = _open(folders["text"], steps=30)
    assert method.text is not None
    prompts = ["make it rain", "let the sun shine"]
    tower, vae, unet = method.text, method.vae, method.unet
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    pixels = torch.cat([to_pixels(textured(32, 32, seed=seed)) for seed in (1, 2)])
    images = method._condition_image(pixels)
    states = tower.states(tower.ids(tower.tokens(prompts)))
    found = method.one_pass((noise, torch.tensor([1000, 1000])), images, states)
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1, timestep_spacing="leading",
    )  # fmt: skip
    pipe = StableDiffusionInstructPix2PixPipeline(
        vae=vae, text_encoder=tower._model, tokenizer=tower._tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    expected = pipe(
        prompt=prompts, image=(pixels + 1) / 2, num_inference_steps=30, guidance_scale=1, latents=noise,
        output_type="latent",
    ).images  # fmt: skip
    assert found.allclose(expected, atol=1e-5)
    assert not found.allclose(noise, atol=0.1)


@torch.inference_mode()
def test_a_pass_starts_from_the_noised_picture_at_its_own_time_and_sees_the_untouched_source(
    folders: dict[Condition, Path],
) -> None:
    method = _open(folders["direction"], steps=30)
    fed = torch.randint(0, 256, (2, 32, 32, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    latents, lasts = method.start(fed, [torch.Generator().manual_seed(7) for _ in range(2)])
    assert lasts[0] == lasts[1] and 700 <= int(lasts[0]) <= 980
    times = method.schedule.times(int(lasts[0]), 30)
    assert times == [1 + j * (int(lasts[0]) // 30) for j in range(29, -1, -1)]
    abar = float(method.schedule.abar[times[0]])
    # equal draws: what differs is the clean latents alone, times the square root of the level
    means = [method.vae.encode(one.permute(2, 0, 1)[None].float() / 127.5 - 1).latent_dist for one in fed]
    draw = torch.Generator().manual_seed(7)
    shape = means[0].mean.shape
    inner = torch.randn(shape, generator=draw)
    assert int(torch.randint(700, 981, (1,), generator=draw)) == int(lasts[0])
    outer = torch.randn(shape, generator=draw)
    for latent, spread in zip(latents, means, strict=True):
        clean = (spread.mean + spread.std * inner) * method.vae.config.scaling_factor
        assert latent.allclose((abar**0.5 * clean + (1 - abar) ** 0.5 * outer)[0], atol=1e-5)


@pytest.mark.parametrize("kind", ["direction", "onehot", "text"])
def test_batches_are_singles_and_equal_seeds_equal_pictures(folders: dict[Condition, Path], kind: Condition) -> None:
    torch.set_num_threads(1)
    method = _open(folders[kind])
    edits = _edits()
    told: list[tuple[int, int]] = []
    together = method.edit(edits, lambda done, total: told.append((done, total)), _no_stop)
    assert told[-1] == (3, 3) and [done for done, _ in told] == sorted(done for done, _ in told)
    outcomes = method.outcomes
    assert len(outcomes) == 3 and all("round" in line for line in outcomes)
    again = method.edit(edits, lambda done, total: None, _no_stop)
    assert [image.tobytes() for image in again] == [image.tobytes() for image in together]
    assert len({image.tobytes() for image in together}) == 3
    for edit, image, outcome in zip(edits, together, outcomes, strict=True):
        (alone,) = method.edit([edit], lambda done, total: None, _no_stop)
        assert np.abs(np.asarray(alone, int) - np.asarray(image, int)).max() <= 1
        assert method.outcomes == [outcome]


def test_another_emotion_gives_another_picture_but_not_where_the_direction_is_the_same(
    folders: dict[Condition, Path],
) -> None:
    method = _open(folders["direction"], rounds=1)
    pictures = [
        method.edit(_edits(name, 1), lambda done, total: None, _no_stop)[0] for name in ("awe", "fear", "surprise")
    ]
    assert pictures[0].tobytes() != pictures[1].tobytes()
    assert pictures[0].tobytes() == pictures[2].tobytes()  # surprise is awe among Mikels' eight
    with pytest.raises(EditError, match="'curiosity' is none of Mikels' eight"):
        method.edit(_edits("curiosity", 1), lambda done, total: None, _no_stop)


def test_a_stop_ends_the_loop_between_rounds(folders: dict[Condition, Path]) -> None:
    method = _open(folders["direction"], ssim_low=0.98, ssim_high=0.99, confidence=1)
    rounds: list[int] = []
    with pytest.raises(EditStopped):
        method.edit(_edits(count=1), lambda done, total: rounds.append(done), lambda: len(rounds) == 1)
    assert rounds == [1]


def test_folders_that_are_no_emoeditor_are_refused(folders: dict[Condition, Path], small: SmallModels) -> None:
    with pytest.raises(MissingWeightsError, match=r"lacks predictor/config.json.*kind = emoeditor"):
        load_method("emoeditor", small.instruct, None, EditSettings(size=64))
    with pytest.raises(MissingWeightsError, match="no EmoEditor is named"):
        load_method("emoeditor", "", None, EditSettings(size=64))
    with pytest.raises(EditError, match="do not fit below start_low"):
        _open(folders["direction"], start_low=3, start_high=9)
