"""A base from nothing: resumed runs equal unbroken ones, and the folder is one that diffusers opens."""

import hashlib
import random
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from moodarchive.errors import ConfigError
from train.diffusion.base import train_base
from train.diffusion.learner import rate_at
from train.diffusion.pictures import rows_of_step
from train.diffusion.run import StepReport
from train.diffusion.settings import DiffusionSettings, ScheduleSettings


class Squares:
    """Twelve pictures of one colour each."""

    name = "squares"

    def __len__(self) -> int:
        return 12

    def pixels(self, rows: Sequence[int]) -> Tensor:
        colours = torch.tensor([[20 * row, 255 - 20 * row, 128] for row in rows], dtype=torch.uint8)
        return colours[:, :, None, None].expand(-1, -1, 16, 16).clone()

    def prompt(self, row: int, rng: random.Random) -> str:
        return rng.choice((f"square {row}", "a square"))


class Letters:
    """A text tower of eight tokens: each letter's number, in eight dimensions."""

    width = 8

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return [[ord(letter) % 97 for letter in text.ljust(8)[:8]] for text in texts]

    def ids(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(tokens)

    @torch.inference_mode()
    def states(self, ids: Tensor) -> Tensor:
        return torch.sin(ids[..., None] * torch.arange(1, 9))


class Killed(Exception):
    """In place of a signal."""


def settings(output: Path, **parts: int) -> DiffusionSettings:
    steps = {"autoencoder": 6, "denoiser": 6, "decoder": 4} | parts

    def schedule(part: str, decay: int) -> dict[str, object]:
        return {"steps": steps[part], "batch": 2, "learning_rate": 1e-3, "warmup_steps": 2, "decay_steps": decay}

    return DiffusionSettings.model_validate(
        {
            "output": str(output),
            "size": 16,
            "checkpoint_steps": 2,
            "threads": 1,
            "autoencoder": {
                "widths": (8, 8),
                "crop": 16,
                "schedule": schedule("autoencoder", 0),
                "decoder": schedule("decoder", 2),
            },
            "denoiser": {"widths": (8, 8), "heads": 1, "schedule": schedule("denoiser", 2)},
        }
    )


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def train(output: Path, *, killed_at: tuple[str, int] = ("", 0), **parts: int) -> tuple[Path, list[StepReport]]:
    reports: list[StepReport] = []

    def tell(report: StepReport) -> None:
        reports.append(report)
        if (report.part, report.step) == killed_at:
            raise Killed

    return train_base(settings(output, **parts), Squares(), {"letters": Letters()}, tell), reports


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("unbroken"))[0]


@pytest.mark.parametrize("killed_at", [("autoencoder", 3), ("denoiser", 5), ("decoder", 3)])
def test_a_killed_run_goes_on_to_the_same_bytes(unbroken: Path, tmp_path: Path, killed_at: tuple[str, int]) -> None:
    with pytest.raises(Killed):
        train(tmp_path, killed_at=killed_at)
    folder, reports = train(tmp_path)
    assert digest(folder) == digest(unbroken)
    first = next(report for report in reports if report.part == killed_at[0])
    assert first.step == killed_at[1]  # the checkpoint lies one step before


def test_the_folder_is_a_base_in_half_precision(unbroken: Path) -> None:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from safetensors.torch import load_file

    vae, unet = AutoencoderKL.from_pretrained(unbroken / "vae"), UNet2DConditionModel.from_pretrained(unbroken / "unet")
    assert unet.config.in_channels == vae.config.latent_channels and unet.config.cross_attention_dim == 8
    assert DDIMScheduler.from_pretrained(unbroken / "scheduler").config.prediction_type == "epsilon"
    weights = load_file(unbroken / "unet" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}


def test_scaled_latents_have_a_standard_deviation_of_one(unbroken: Path) -> None:
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(unbroken / "vae")
    pixels = Squares().pixels(range(12)).float() / 127.5 - 1
    with torch.inference_mode():
        latents = vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor
    assert latents.std().item() == pytest.approx(1, abs=0.02)


def test_steps_may_be_raised_until_the_rate_falls(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tmp_path, killed_at=("denoiser", 3))  # its checkpoint of step 2 lies before the fall
    _, reports = train(tmp_path, denoiser=8)
    assert [report.steps for report in reports if report.part == "denoiser"] == [8] * 6
    with pytest.raises(ConfigError, match="had begun to fall"):
        train(tmp_path, denoiser=12)


def test_another_latent_is_another_run(tmp_path: Path) -> None:
    """A denoiser that was trained on other latents must not go on."""
    train(tmp_path, decoder=1)
    with pytest.raises(ConfigError, match="of another run"):
        train(tmp_path, autoencoder=8)


def test_training_lowers_both_losses(tmp_path: Path) -> None:
    _, reports = train(tmp_path, autoencoder=40, denoiser=40, decoder=1)
    for part in ("autoencoder", "denoiser"):
        losses = [report.loss for report in reports if report.part == part]
        assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_each_epoch_has_every_row_once_in_an_order_of_its_own() -> None:
    rows = [row for step in range(10) for row in rows_of_step(step, 5, 25, seed=3)]
    assert sorted(rows[:25]) == sorted(rows[25:]) == list(range(25))
    assert rows[:25] != rows[25:]


def test_the_rate_rises_stays_and_falls_to_its_floor() -> None:
    schedule = ScheduleSettings(steps=100, batch=1, learning_rate=1.0, warmup_steps=10, decay_steps=40, floor=0.1)
    rates = [rate_at(step, schedule) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[10:60] == [1.0] * 50
    assert rates[-1] == pytest.approx(0.1) and all(one > other for one, other in pairwise(rates[60:]))


def test_a_size_that_the_resolutions_do_not_divide_is_named() -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        DiffusionSettings(size=40)


def test_a_base_that_stands_learns_on_in_its_own_latents(unbroken: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    towers = {"letters": Letters()}
    on = settings(tmp_path).model_copy(update={"start": str(unbroken)})
    folder = train_base(on, Squares(), towers, lambda report: None)
    name = "diffusion_pytorch_model.safetensors"
    assert (folder / "vae" / name).read_bytes() == (unbroken / "vae" / name).read_bytes()
    assert (folder / "unet" / "config.json").read_bytes() == (unbroken / "unet" / "config.json").read_bytes()
    before, after = load_file(unbroken / "unet" / name), load_file(folder / "unet" / name)
    assert before.keys() == after.keys()
    moved = max(float((after[key].float() - before[key].float()).abs().max()) for key in after)
    assert 0 < moved < 0.05  # six steps of at most 1e-3 from its weights, not from others
    assert digest(
        train_base(on.model_copy(update={"output": str(tmp_path / "two")}), Squares(), towers, print)
    ) == digest(folder)


@pytest.mark.parametrize(
    ("broken", "message"), [("vae", "no vae/"), ("width", "texts of width 8"), ("size", "multiple of 4")]
)
def test_a_start_that_does_not_fit_is_named_before_the_first_step(
    unbroken: Path, tmp_path: Path, broken: str, message: str
) -> None:
    start = tmp_path / "start"
    shutil.copytree(unbroken, start)
    on = settings(tmp_path / "out").model_copy(update={"start": str(start), "size": 18 if broken == "size" else 16})
    tower = Letters()
    if broken == "vae":
        shutil.rmtree(start / "vae")
    elif broken == "width":
        tower.width = 12
    with pytest.raises(ConfigError, match=message):
        train_base(on, Squares(), {"letters": tower}, lambda report: None)
    assert not (tmp_path / "out").exists()
