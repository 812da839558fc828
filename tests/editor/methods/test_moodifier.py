"""What holds for Moodifier whatever its weights are; the small models' are random."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from editor.edit import Edit, EditSettings, EditStopped, Mask
from editor.loading import load_method
from editor.methods.canvas import to_pixels
from editor.methods.moodifier import InversionFree
from moodarchive.errors import EditError
from tests.editor.small_models import SmallModels
from tests.making import textured
from tests.moodarchive.models.fake_gpu import fake_gpu

SIZE = (64, 64)
JOY, RAGE = "a girl laughs, her arms wide open", "a girl screams with clenched fists"


def _opened(small: SmallModels, **changes: Any) -> InversionFree:
    told = {"steps": 4, "size": 64, **changes}
    method = load_method("moodifier", small.base, small.moodify, EditSettings.model_validate(told))
    assert isinstance(method, InversionFree)
    return method


@pytest.fixture(scope="module")
def method(small: SmallModels) -> InversionFree:
    return _opened(small)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return textured(*SIZE, seed=3)


def _box(left: int = 16, top: int = 8, right: int = 40, bottom: int = 48) -> Mask:
    mask = np.zeros(SIZE[::-1], np.float32)
    mask[top:bottom, left:right] = 1
    return mask


def _made(method: InversionFree, edits: Sequence[Edit]) -> list[Image.Image]:
    return method.edit(edits, lambda done, total: None, lambda: False)


def _last(method: InversionFree, edits: Sequence[Edit]) -> torch.Tensor:
    return list(method.steps(edits, SIZE))[-1].clean


def _text_states(method: InversionFree, prompts: list[str]) -> torch.Tensor:
    text = method._text
    return text.states(text.ids(text.tokens(prompts))).to(method._base.dtype)


def _source(method: InversionFree, picture: Image.Image) -> torch.Tensor:
    return method._base.encode(to_pixels(picture))


def test_an_empty_mask_gives_the_vaes_reconstruction(method: InversionFree, picture: Image.Image) -> None:
    source = _source(method, picture)
    edit = Edit(image=picture, prompt=JOY, mask=_box(0, 0, 0, 0))
    last = _last(method, [edit])
    expected = method._base.decode(source)
    assert (method._base.decode(last) - expected).abs().max() < 1e-3
    assert not torch.allclose(_last(method, [Edit(image=picture, prompt=JOY)]), source, atol=1e-2)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("boxed", [True, False])
def test_a_target_prompt_equal_to_the_sources_changes_nothing(
    small: SmallModels, picture: Image.Image, guidance: float, boxed: bool
) -> None:
    method = _opened(small, guidance=guidance, source_guidance=guidance)
    edit = Edit(image=picture, prompt=JOY, source_prompt=JOY, mask=_box() if boxed else None)
    decoded = method._base.decode
    assert (decoded(_last(method, [edit])) - decoded(_source(method, picture))).abs().max() < 1e-3


def test_outside_the_mask_latents_equal_the_sources_at_every_step(method: InversionFree, picture: Image.Image) -> None:
    edits = [Edit(image=picture, prompt=JOY, mask=_box()), Edit(image=picture, prompt=RAGE, mask=_box(0, 0, 64, 16))]
    source = _source(method, picture)
    inside = torch.zeros(2, 16, 16, dtype=torch.bool)
    inside[0, 2:12, 4:10] = inside[1, :4] = True
    seen = list(method.steps(edits, SIZE))
    assert [step.level.t for step in seen] == [4, 3, 2, 1]
    for place, step in enumerate(seen):
        for row in (0, 1):
            outside = ~inside[row]
            assert step.target[row][:, outside].equal(step.source[row][:, outside])
            assert step.clean[row][:, outside].equal(source[0][:, outside])
            assert not torch.allclose(step.clean[row][:, inside[row]], source[0][:, inside[row]], atol=1e-3)
            assert place == 0 or not step.target[row][:, inside[row]].equal(step.source[row][:, inside[row]])


@pytest.mark.parametrize(("tau_c", "expected"), [(0.0, [True] * 4), (1.01, [False] * 4), (0.3, [True] * 3 + [False])])
def test_tau_c_decides_in_which_steps_attention_is_refined(
    small: SmallModels, picture: Image.Image, tau_c: float, expected: list[bool]
) -> None:
    method = _opened(small, tau_c=tau_c)
    seen = [method.control.refine for _ in method.steps([Edit(image=picture, prompt=JOY, mask=_box())], SIZE)]
    assert seen == expected


def test_refining_matters_inside_the_mask_only_with_something_outside(
    small: SmallModels, picture: Image.Image, method: InversionFree
) -> None:
    never = _opened(small, tau_c=2.0)
    boxed, everywhere = Edit(image=picture, prompt=JOY, mask=_box()), Edit(image=picture, prompt=JOY)
    assert not torch.allclose(_last(method, [boxed]), _last(never, [boxed]), atol=1e-4)
    assert torch.allclose(_last(method, [everywhere]), _last(never, [everywhere]), atol=1e-6)
    captioned = Edit(image=picture, prompt=JOY, source_prompt="a girl stands, her arms down")
    assert not torch.allclose(_last(method, [captioned]), _last(never, [captioned]), atol=1e-5)


def _several(picture: Image.Image) -> list[Edit]:
    other = textured(*SIZE, seed=11)
    return [
        Edit(image=picture, prompt=JOY, mask=_box(), seed=1),
        Edit(image=other, prompt=RAGE, source_prompt="a girl stands with open hands", mask=_box(0, 0, 30, 64), seed=2),
        Edit(image=picture, prompt=RAGE, seed=3),
    ]


def test_the_edits_of_one_photo_share_its_latent_and_its_copy_has_the_same(
    method: InversionFree, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, real = [], method._base.vae.encode

    def counts(pixels: torch.Tensor) -> Any:
        encoded.append(len(pixels))
        return real(pixels)

    monkeypatch.setattr(method._base.vae, "encode", counts)
    shared = _last(method, [Edit(image=picture, prompt=prompt, mask=_box()) for prompt in (JOY, RAGE)])
    assert encoded == [1]
    own = _last(method, [Edit(image=picture.copy(), prompt=prompt, mask=_box()) for prompt in (JOY, RAGE)])
    assert encoded == [1] * 3 and own.equal(shared)


def test_on_a_gpu_all_that_meets_the_models_is_there(
    small: SmallModels, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = _opened(small, dtype="bfloat16")
    base = method._base
    with fake_gpu(monkeypatch, base.unet, base.vae, method._text._model) as device:
        object.__setattr__(base, "device", device)
        assert [image.size for image in _made(method, _several(picture))] == [SIZE] * 3
        object.__setattr__(base, "device", torch.device("cpu"))
        with pytest.raises(RuntimeError, match=r"at least two devices"):
            _made(method, _several(picture))


QUALITY = {"negative_prompt": "a blurred picture", "positive_prompt": "a sharp photo", "source_guidance": 0.6}


@pytest.mark.parametrize(("structure", "kept"), [(0.0, 0), (0.5, 2), (0.7, 2), (1.0, 4)])
def test_structure_is_kept_for_its_share_of_the_steps(
    small: SmallModels, picture: Image.Image, structure: float, kept: int
) -> None:
    method = _opened(small, structure=structure)
    seen = [method.control.keep_structure for _ in method.steps([Edit(image=picture, prompt=JOY)], SIZE)]
    assert seen == [True] * kept + [False] * (4 - kept)


def test_structure_acts_inside_the_mask_and_changes_nothing_outside(
    small: SmallModels, picture: Image.Image, method: InversionFree
) -> None:
    edits = [Edit(image=picture, prompt=JOY, mask=_box())]
    kept, source = _last(_opened(small, structure=0.7), edits), _source(method, picture)
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[2:12, 4:10] = True
    assert not torch.allclose(kept[0][:, inside], _last(method, edits)[0][:, inside], atol=1e-4)
    assert kept[0][:, ~inside].equal(source[0][:, ~inside])
    assert _made(_opened(small, structure=0.0), edits)[0].tobytes() == _made(method, edits)[0].tobytes()


def test_with_structure_an_equal_prompt_still_changes_nothing(small: SmallModels, picture: Image.Image) -> None:
    method = _opened(small, structure=1.0, guidance=2.0, source_guidance=2.0)
    edit = Edit(image=picture, prompt=JOY, source_prompt=JOY)
    assert (_last(method, [edit]) - _source(method, picture)).abs().max() < 1e-3


def test_the_quality_prompts_are_the_unconditional_rows_of_target_and_source(
    small: SmallModels, picture: Image.Image
) -> None:
    method = _opened(small, **QUALITY)
    given: list[torch.Tensor] = []
    watch = method._base.unet.register_forward_pre_hook(
        lambda _, args, told: given.append(told["encoder_hidden_states"]), with_kwargs=True
    )
    next(method.steps([Edit(image=picture, prompt=JOY)], SIZE))
    watch.remove()
    expected = _text_states(method, ["", JOY, QUALITY["positive_prompt"], QUALITY["negative_prompt"]])
    assert torch.allclose(given[0], expected, atol=1e-6)


def test_each_quality_prompt_changes_the_edit_and_none_outside_the_mask(
    small: SmallModels, picture: Image.Image
) -> None:
    edits, source = [Edit(image=picture, prompt=JOY, mask=_box())], _source(_opened(small), picture)
    made = [
        _last(_opened(small, **settings), edits)
        for settings in ({}, {"negative_prompt": "a blurred picture"}, QUALITY, {"preset": "faces", "steps": 4})
    ]
    for place, one in enumerate(made):
        assert one[:, :, 12:].equal(source[:, :, 12:])
        assert all(not torch.allclose(one, other, atol=1e-5) for other in made[:place])


def test_a_quality_prompt_that_is_not_read_whole_is_refused(small: SmallModels) -> None:
    with pytest.raises(EditError, match=r"negative_prompt is longer than the text encoder reads.*'thunder'"):
        _opened(small, negative_prompt=" ".join(["grass"] * 246 + ["thunder"]))


def test_a_batch_equals_its_single_runs_with_structure_and_quality_prompts(
    small: SmallModels, picture: Image.Image
) -> None:
    method = _opened(small, structure=0.7, **QUALITY)
    edits = _several(picture)
    together = _last(method, edits)
    for row, edit in enumerate(edits):
        assert (_last(method, [edit])[0] - together[row]).abs().max() < 1e-4
    one_by_one = _opened(small, structure=0.7, batch=1, **QUALITY)
    for image, edit in zip(_made(one_by_one, edits), edits, strict=True):
        assert _made(one_by_one, [edit])[0].tobytes() == image.tobytes()


def test_a_batch_equals_its_single_runs(method: InversionFree, picture: Image.Image) -> None:
    edits = _several(picture)
    together = _last(method, edits)
    for row, edit in enumerate(edits):
        assert (_last(method, [edit])[0] - together[row]).abs().max() < 1e-4
    for one, other in zip(_made(method, edits), (_made(method, [edit])[0] for edit in edits), strict=True):
        assert np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max() <= 1


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(method: InversionFree, picture: Image.Image) -> None:
    edits = [Edit(image=picture, prompt=JOY, mask=_box(), seed=seed) for seed in (5, 5, 6)]
    first, second, other = (_made(method, [edit])[0].tobytes() for edit in edits)
    assert first == second != other


def test_pictures_come_back_in_their_order_and_sizes(method: InversionFree, picture: Image.Image) -> None:
    sizes = [(64, 64), (100, 40), (31, 77), (64, 64), (300, 200)]
    edits = [Edit(image=textured(*size, seed=place), prompt=JOY, seed=place) for place, size in enumerate(sizes)]
    told: list[tuple[int, int]] = []
    found = method.edit(edits, lambda done, total: told.append((done, total)), lambda: False)
    assert [image.size for image in found] == sizes
    assert {image.mode for image in found} == {"RGB"}
    alone = _made(method, [edits[3]])[0]
    assert np.abs(np.asarray(found[3], np.int16) - np.asarray(alone, np.int16)).max() <= 1
    assert told == [(done, 16) for done in range(1, 17)]  # four working sizes of four steps


def test_stopping_takes_effect_before_the_next_step(method: InversionFree, picture: Image.Image) -> None:
    told: list[int] = []
    with pytest.raises(EditStopped, match="after 2 of 4 steps"):
        method.edit([Edit(image=picture, prompt=JOY)], lambda done, _: told.append(done), lambda: len(told) == 2)
    assert told == [1, 2]


def test_a_long_prompt_reaches_the_unet_whole(method: InversionFree, picture: Image.Image) -> None:
    words = ["grass"] * 200
    seen: list[torch.Size] = []
    watch = method._base.unet.register_forward_pre_hook(
        lambda _, args, told: seen.append(told["encoder_hidden_states"].shape), with_kwargs=True
    )
    plain = _last(method, [Edit(image=picture, prompt=" ".join(words))])
    words[190] = "thunder"
    changed = _last(method, [Edit(image=picture, prompt=" ".join(words))])
    watch.remove()
    assert set(seen) == {torch.Size((3, 248, 64))}
    assert not torch.allclose(plain, changed, atol=1e-6)


def test_every_resolution_of_the_unet_has_its_mask(method: InversionFree, picture: Image.Image) -> None:
    edits = [Edit(image=picture, prompt=JOY, mask=_box(0, 0, 17, 64)), Edit(image=picture, prompt=JOY)]
    next(method.steps(edits, SIZE))
    found = {pixels: weights[0, 0, :, 0] for pixels, weights in method.control.weights.items()}
    columns = {256: 5, 64: 3, 16: 2}  # 17 of 64 pixels reach into so many of 16, 8 and 4 columns
    assert {pixels: int(weights.sum()) for pixels, weights in found.items()} == {
        pixels: many * round(pixels**0.5) for pixels, many in columns.items()
    }
    assert all(weights[1].min() == 1 for weights in method.control.weights.values())
    read = {layer.shape[1] for layer in _attended(method, edits)}
    assert read == set(columns)


def _attended(method: InversionFree, edits: Sequence[Edit]) -> list[torch.Tensor]:
    """What the attention layers of one step were given."""
    given: list[torch.Tensor] = []
    layers = [layer for layer in method._base.unet.modules() if hasattr(layer, "set_processor")]
    watches = [layer.register_forward_pre_hook(lambda _, args: given.append(args[0])) for layer in layers]
    next(method.steps(edits, SIZE))
    for watch in watches:
        watch.remove()
    return given


def test_strength_leaves_out_the_noisiest_steps(small: SmallModels, picture: Image.Image) -> None:
    edit = Edit(image=picture, prompt=JOY)
    mild, full = _opened(small, strength=0.5), _opened(small)
    seen = list(mild.steps([edit], SIZE))
    assert [step.level for step in seen] == [step.level for step in full.steps([edit], SIZE)][2:]
    source = _source(mild, picture)
    assert (seen[-1].clean - source).abs().mean() < (_last(full, [edit]) - source).abs().mean()


def test_a_feathered_mask_changes_less_towards_its_edge_and_nothing_outside(
    small: SmallModels, picture: Image.Image
) -> None:
    method = _opened(small, feather=12)
    last, source = _last(method, [Edit(image=picture, prompt=JOY, mask=_box())]), _source(method, picture)
    changed = (last - source)[0].abs().mean(0)
    assert changed[:, :4].max() == changed[:, 10:].max() == changed[12:].max() == changed[:2].max() == 0
    assert 0 < changed[4:10, 4].mean() < changed[4:10, 6:8].mean()


def test_in_bfloat16_the_equations_stay_in_float32(small: SmallModels, picture: Image.Image) -> None:
    method = _opened(small, dtype="bfloat16")
    edits = [Edit(image=picture, prompt=JOY, source_prompt="a girl", mask=_box(), seed=seed) for seed in (1, 2)]
    source = _source(method, picture)
    for step in method.steps(edits, SIZE):
        assert step.clean.dtype == step.target.dtype == torch.float32
        assert step.clean[:, :, 12:].equal(source.expand(2, -1, -1, -1)[:, :, 12:])
        assert step.clean.isfinite().all()
    assert [image.size for image in _made(method, edits)] == [SIZE, SIZE]


def test_nothing_is_edited_for_nobody(method: InversionFree) -> None:
    assert _made(method, []) == []


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the models are so small that threads would only wait for each other
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_edit_a_pass_gives_the_same_bytes_alone_and_among_others(
    small: SmallModels, picture: Image.Image, dtype: str
) -> None:
    method = _opened(small, batch=1, dtype=dtype)
    edits = _several(picture)
    together = _made(method, edits)
    for image, edit in zip(together, edits, strict=True):
        assert _made(method, [edit])[0].tobytes() == image.tobytes()


def test_in_bfloat16_every_model_says_nearly_what_it_says_in_float32(small: SmallModels, picture: Image.Image) -> None:
    full, half = (_opened(small, dtype=name) for name in ("float32", "bfloat16"))
    latent = full._base.encode(to_pixels(picture))
    said = []
    for method in (full, half):
        base, states = method._base, _text_states(method, [JOY])
        with torch.inference_mode():
            noise = base.unet(latent.to(base.dtype), 500, encoder_hidden_states=states).sample
        said.append((states, noise, base.encode(to_pixels(picture)), base.decode(latent)))
    for exact, near in zip(*said, strict=True):
        assert torch.cosine_similarity(exact.flatten(), near.float().flatten(), dim=0) > 0.99
        assert not near.float().equal(exact)


def test_what_a_prompt_says_behind_the_encoders_end_is_named(method: InversionFree) -> None:
    assert method.unread("a girl laughs") == ""
    assert method.unread(" ".join(["grass"] * 246)) == ""
    assert method.unread(" ".join(["grass"] * 246 + ["thunder", "rain"])) == "thunder rain"
