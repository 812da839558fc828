"""The equations hold, and the noise levels are the base's own."""

import json
from pathlib import Path

import pytest
import torch

from editor.methods.masks import blend
from editor.methods.moodifier import add_noise, guide, noise_levels, refines, target_clean
from moodarchive.errors import EditError
from tests.editor.small_models import SmallModels


def _draws(count: int) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(7)
    return [torch.randn(2, 4, 6, 5, generator=draw, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize("abar", [0.0047, 0.3, 0.97])
def test_the_targets_clean_latent_is_predicted_with_the_sources_error_taken_away(abar: float) -> None:
    clean, noise, shift, source_noise, target_noise = _draws(5)
    source = add_noise(clean, noise, abar)
    target = source + shift
    consistent_noise = (source - abar**0.5 * clean) / (1 - abar) ** 0.5
    assert torch.allclose(consistent_noise, noise, atol=1e-9)
    found = target_clean(
        clean=clean, source=source, target=target, source_noise=source_noise, target_noise=target_noise, abar=abar
    )
    corrected = target_noise - source_noise + consistent_noise
    expected = (target - (1 - abar) ** 0.5 * corrected) / abar**0.5
    assert torch.allclose(found, expected, atol=1e-9)


def test_equal_branches_give_the_source_to_the_bit() -> None:
    clean, noise, told = (draw.float() for draw in _draws(3))
    latent = add_noise(clean, noise, 0.0047)
    same = target_clean(clean=clean, source=latent, target=latent, source_noise=told, target_noise=told, abar=0.0047)
    assert same.equal(clean)


def test_blending_with_a_hard_mask_copies_bits() -> None:
    source, target = (draw.float() for draw in _draws(2))
    weights = (torch.arange(source.numel()).view(source.shape) % 3 == 0).float()
    assert blend(source, target, weights).equal(torch.where(weights > 0, target, source))


def test_guidance_of_one_is_the_prompt_alone_and_more_goes_beyond() -> None:
    empty, told = _draws(2)
    assert torch.allclose(guide(empty, told, 1.0), told)
    assert torch.allclose(guide(empty, told, 2.0) - told, told - empty)


def test_tau_c_zero_always_refines_and_above_t_never() -> None:
    for steps in (1, 12, 15):
        counted = range(steps, 0, -1)
        assert all(refines(t, steps, 0.0) for t in counted)
        assert not any(refines(t, steps, 1.001) for t in counted)
    assert [t for t in range(20, 0, -1) if refines(t, 20, 0.3)] == list(range(20, 5, -1))  # the first 15 of 20 steps
    assert [t for t in range(10, 0, -1) if refines(t, 10, 1.0)] == [10]


def test_the_levels_are_those_of_the_bases_scheduler(small: SmallModels) -> None:
    from diffusers import LCMScheduler

    folder = Path(small.base) / "scheduler"
    scheduler = LCMScheduler.from_pretrained(folder)
    scheduler.set_timesteps(12)
    found = noise_levels(folder, 12, 1.0)
    assert [level.timestep for level in found] == scheduler.timesteps.tolist()
    assert [level.t for level in found] == list(range(12, 0, -1))
    assert [level.abar for level in found] == [float(scheduler.alphas_cumprod[t]) for t in scheduler.timesteps]
    assert noise_levels(folder, 12, 0.5) == found[6:]
    assert noise_levels(folder, 12, 0.01) == found[-1:]
    with pytest.raises(EditError, match="steps = 60"):
        noise_levels(folder, 60, 1.0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"prediction_type": "v_prediction"}, "epsilon"), ({"rescale_betas_zero_snr": True}, "terminal SNR")],
)
def test_models_that_the_equations_do_not_fit_are_refused(
    small: SmallModels, tmp_path: Path, changes: dict[str, object], told: str
) -> None:
    config = json.loads((Path(small.base) / "scheduler" / "scheduler_config.json").read_text())
    config |= {"_class_name": "DDIMScheduler", "timestep_spacing": "trailing"} | changes
    (tmp_path / "scheduler_config.json").write_text(json.dumps(config))
    with pytest.raises(EditError, match=told):
        noise_levels(tmp_path, 10, 1.0)


def test_a_plain_diffusion_model_gets_evenly_spaced_levels(small: SmallModels, tmp_path: Path) -> None:
    config = json.loads((Path(small.base) / "scheduler" / "scheduler_config.json").read_text())
    (tmp_path / "scheduler_config.json").write_text(json.dumps(config | {"_class_name": "PNDMScheduler"}))
    assert [level.timestep for level in noise_levels(tmp_path, 50, 1.0)][:3] == [981, 961, 941]
