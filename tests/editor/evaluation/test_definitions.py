"""Every measure is its published definition: held against plain NumPy, and against torchmetrics where it has it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from editor.evaluation.aggregate import mean_of_means
from editor.evaluation.background import Background
from editor.evaluation.clip_score import ClipScore
from editor.evaluation.esmi import Esmi, _small, emotion_half, structure_half
from editor.evaluation.frames import Frames
from editor.evaluation.grad_cam import cam, logits_and_heat
from editor.evaluation.measure import Measure
from editor.evaluation.perceptual import Lpips
from editor.evaluation.structure import Structure
from moodarchive.emotions.taxonomy import MIKELS_EIGHT, MIKELS_POSITIVE
from moodarchive.errors import EditError, MissingWeightsError
from tests.editor.evaluation import plain
from tests.editor.evaluation.measuring_models import DEVIATION, MEAN, SIDE, MeasuringModels, classifier
from tests.making import textured

torch = pytest.importorskip("torch")


def frames(
    *,
    mask: float | str | None = "box",
    size: tuple[int, int] = (224, 224),
    emotion: str = "joy",
    prompt: str = "",
    change: int = 2,
) -> Frames:
    """A fixed case; ``mask`` is a constant, the right half, or none."""
    where = None if mask is None else np.zeros((size[1], size[0]), np.float32)
    if where is not None:
        where[:, size[0] // 2 :] = 1 if mask == "box" else mask
        where[:, : size[0] // 2] = 0 if mask == "box" else mask
    return Frames(
        source=np.array(textured(*size, seed=1)), edited=np.array(textured(*size, seed=change)), mask=where,
        source_sha256=f"{size}", emotion=emotion, prompt=prompt,
    )  # fmt: skip


def ready(measure: Measure) -> Measure:
    measure.load()
    return measure


def masked(case: Frames) -> tuple[Any, Any]:
    assert case.mask is not None
    keep = (1 - case.mask)[..., None]
    return case.edited.astype(np.float32) / 255 * keep, case.source.astype(np.float32) / 255 * keep


@pytest.mark.parametrize("scale", [1.0, 1 / 255])
def test_the_structure_distance_is_that_of_a_plain_transformer(models: MeasuringModels, scale: float) -> None:
    from transformers import ViTModel

    case = frames()
    network = ViTModel.from_pretrained(models.dino, add_pooling_layer=False)
    state = {name: tensor.numpy().astype(np.float64) for name, tensor in network.state_dict().items()}
    similar = []
    for pixels in (case.source, case.edited):
        given = ((pixels * scale - MEAN) / DEVIATION).transpose(2, 0, 1)
        keys = plain.keys_of_layer(state, given, layer=11, heads=2, patch=32)
        similar.append(plain.self_similarity(keys))
    expected = float(((similar[0] - similar[1]) ** 2).mean())
    found = ready(Structure(models.dino)).of(case)[0 if scale == 1.0 else 1]
    assert expected > 1e-4 and found == pytest.approx(expected, rel=2e-3)


def test_an_unchanged_picture_has_no_structure_distance_and_sides_may_differ(models: MeasuringModels) -> None:
    measure = ready(Structure(models.dino))
    assert measure.of(frames(change=1)) == (0.0, 0.0)
    wide = frames(size=(512, 300))
    first = measure.of(wide)
    assert first[0] is not None and first[0] > 0 and measure.of(wide) == first


def test_the_background_is_compared_on_frames_multiplied_by_one_minus_the_mask() -> None:
    case = frames(size=(96, 80))
    edited, source = masked(case)
    psnr, mse, ssim = ready(Background()).of(case)
    assert mse == pytest.approx(plain.mse(edited, source), rel=1e-5)
    assert psnr == pytest.approx(plain.psnr(edited, source), rel=1e-5)
    assert ssim == pytest.approx(plain.ssim(edited, source), rel=1e-4)


def test_soft_masks_weigh_as_they_say() -> None:
    case = frames(mask=0.25, size=(96, 80))
    edited, source = masked(case)
    _, mse, _ = ready(Background()).of(case)
    assert mse == pytest.approx(plain.mse(edited, source), rel=1e-5)
    whole = ready(Background()).of(frames(mask=0.0, size=(96, 80)))[1]
    assert whole is not None and mse == pytest.approx(0.75**2 * whole, rel=1e-4)


def test_lpips_is_the_heads_weighted_distance_of_unit_features(models: MeasuringModels) -> None:
    from pathlib import Path

    import torchmetrics.functional.image.lpips as theirs
    from torchvision.models import squeezenet1_1

    case = frames(size=(96, 80))
    file = Path(theirs.__file__).parent / "lpips_models" / "squeeze.pth"
    heads = torch.load(file, map_location="cpu", weights_only=True)
    network = squeezenet1_1()
    network.load_state_dict(torch.load(models.lpips, weights_only=True))
    taken: list[list[Any]] = []
    for pixels in masked(case):
        x = torch.from_numpy((2 * pixels - 1 - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]).float()
        x, outputs = x.permute(2, 0, 1)[None], []
        for number, layer in enumerate(network.eval().features):
            x = layer(x)
            if number in {1, 4, 7, 9, 10, 11, 12}:
                outputs.append(x.detach().numpy()[0].astype(np.float64))
        taken.append(outputs)
    expected = 0.0
    for level, both in enumerate(zip(*taken, strict=True)):
        one, other = (each / np.sqrt((each**2).sum(0, keepdims=True) + 1e-8) for each in both)
        weights = heads[f"lin{level}.model.1.weight"].numpy().reshape(-1, 1, 1)
        expected += float((weights * (one - other) ** 2).sum(0).mean())
    found, _ = ready(Lpips(models.lpips)).of(case)
    assert expected > 1e-4 and found == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("mask", [1.0, None])
def test_without_a_background_nothing_is_said_of_it(models: MeasuringModels, mask: float | None) -> None:
    case = frames(mask=mask, size=(96, 80))
    assert ready(Background()).of(case) == (None, None, None)
    assert ready(Lpips(models.lpips)).of(case)[0] is None


def test_an_unchanged_background_is_infinitely_like_its_source(models: MeasuringModels) -> None:
    case = frames(size=(96, 80))
    pasted = np.where(case.mask[..., None] > 0, case.edited, case.source)  # type: ignore[index]
    same = Frames(source=case.source, edited=pasted, mask=case.mask, source_sha256="1", emotion="joy", prompt="")
    assert ready(Background()).of(same) == (math.inf, 0.0, pytest.approx(1.0))
    outside, everywhere = ready(Lpips(models.lpips)).of(same)
    assert outside == 0.0 and everywhere is not None and everywhere > 0


def test_the_clip_score_is_torchmetrics(models: MeasuringModels) -> None:
    from torchmetrics.functional.multimodal import clip_score
    from transformers import CLIPModel, CLIPProcessor

    class Featured(CLIPModel):  # type: ignore[misc]
        """As torchmetrics expects it of transformers' earlier versions."""

        def get_image_features(self, *given: Any, **named: Any) -> Any:
            return super().get_image_features(*given, **named).pooler_output

        def get_text_features(self, *given: Any, **named: Any) -> Any:
            return super().get_text_features(*given, **named).pooler_output

    pair = (Featured.from_pretrained(models.clip).requires_grad_(False), CLIPProcessor.from_pretrained(models.clip))
    measure, scores = ready(ClipScore(models.clip)), []
    for emotion in ("nervousness", "joy", "grief", "love"):
        case = frames(size=(SIDE + 20, SIDE), emotion=emotion, prompt=f"a person full of {emotion}")
        pixels = torch.from_numpy(case.edited).permute(2, 0, 1)
        for text, value in zip((case.emotion, case.prompt), measure.of(case)[:2], strict=True):
            assert value == pytest.approx(float(clip_score(pixels, text, lambda: pair)), abs=1e-3)
            scores.append(value)
    assert len(set(scores)) > 2  # not all of them cut off at zero


def test_clip_scores_are_never_negative_and_long_prompts_are_cut(models: MeasuringModels) -> None:
    measure = ready(ClipScore(models.clip))
    found = [
        measure.of(frames(size=(SIDE, SIDE), emotion=emotion, change=n))[0] for n, emotion in enumerate(MIKELS_EIGHT)
    ]
    assert min(value for value in found if value is not None) >= 0
    once, longer = (measure.of(frames(size=(SIDE, SIDE), prompt="joy " * n))[1] for n in (100, 400))
    assert once == longer  # both are the same 77 tokens
    plain = frames(size=(SIDE, SIDE))
    assert measure.of(plain)[1:] == (None, None)
    assert measure.of(replace(plain, truth=plain.edited))[2] == pytest.approx(100, abs=1e-3)


def test_grad_cam_is_the_gradient_weighted_sum_of_the_last_maps(models: MeasuringModels) -> None:
    import cv2
    from transformers import ResNetForImageClassification

    network = ResNetForImageClassification.from_pretrained(models.emotions).eval()
    pixels = torch.from_numpy(frames().source).permute(2, 0, 1)[None].float() / 255
    logits, heat = logits_and_heat(network, pixels)
    with torch.no_grad():
        found = network(pixel_values=pixels, output_hidden_states=True)
    maps = found.hidden_states[-1][0].numpy()
    # the head is a mean over places and a linear layer: its gradient is known without autograd
    weights = network.classifier[1].weight[int(logits.argmax())].detach().numpy() / (maps.shape[1] * maps.shape[2])
    coarse = plain.grad_cam(maps, weights)
    large = cv2.resize(coarse.astype(np.float32), (224, 224), interpolation=cv2.INTER_LINEAR)
    assert np.allclose(logits.numpy(), found.logits[0].numpy(), atol=1e-5)
    assert np.allclose(heat, (large - large.min()) / (large.max() - large.min()), atol=1e-3)
    assert 0 < (heat > 0.5).mean() < 1


def test_a_flat_heat_is_no_heat() -> None:
    assert not cam(np.ones((4, 7, 7), np.float32), -np.ones((4, 7, 7), np.float32), (32, 32)).any()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(2.0, 1.0, 0.5), (1.0, 2.0, 0.0), (1.0, 0.0, 1.0), (0.0, 0.0, 1.0), (0.0, 0.5, 0.0)],
)
def test_the_emotion_half_is_the_share_of_the_divergence_that_went(
    before: float, after: float, expected: float
) -> None:
    assert emotion_half(before, after) == expected


def test_the_structure_half_is_the_share_of_the_change_where_the_source_was_looked_at() -> None:
    source, edited = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[:2] = 0.6
    heat[2] = 0.5  # not above one half
    assert structure_half(source, edited, heat) == 1.0
    edited[0], edited[3] = 30, 10
    assert structure_half(source, edited, heat) == pytest.approx(0.75)
    assert structure_half(edited, source, heat) == pytest.approx(0.75)  # no wrapping of unsigned bytes


def test_esmi_is_the_mean_of_its_halves(models: MeasuringModels) -> None:
    from transformers import ResNetForImageClassification

    case = frames(emotion="grief")  # sadness is its class
    esmi, emotion, structure, probability, *_ = ready(Esmi(models.emotions)).of(case)
    network = ResNetForImageClassification.from_pretrained(models.emotions).eval()
    pixels = [
        torch.from_numpy(((each / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)[None]).float()
        for each in (case.source, case.edited)
    ]
    _, heat = logits_and_heat(network, pixels[0])
    with torch.no_grad():
        p = [float(network(each).logits[0].double().softmax(-1)[MIKELS_EIGHT.index("sadness")]) for each in pixels]
    kl = [-math.log(each) for each in p]
    change = np.abs(case.source.astype(float) - case.edited.astype(float))
    assert probability == pytest.approx(p[1], rel=1e-3)
    assert emotion == pytest.approx(max(0, kl[0] - kl[1]) / kl[0], rel=1e-3, abs=1e-6)
    assert structure == pytest.approx(change[heat > 0.5].sum() / change.sum(), rel=1e-3)
    assert esmi == pytest.approx((emotion + structure) / 2)  # type: ignore[operator]


def test_emoeditors_tables_are_of_pairs_across_valences_and_peoples_marks_replace_the_heat(
    models: MeasuringModels,
) -> None:
    measure = ready(Esmi(models.emotions))
    own = frames(emotion="awe")
    logits, _ = logits_and_heat(measure._network, measure._pixels(_small(own.source)))
    likeliest = MIKELS_EIGHT[int(logits.argmax())]
    left = np.zeros(own.source.shape[:2], np.float32)
    left[:, : left.shape[1] // 2] = 1
    for emotion in MIKELS_EIGHT:
        plain, marked = (measure.of(replace(own, emotion=emotion, marked=marks)) for marks in (None, left))
        crosses = (emotion in MIKELS_POSITIVE) != (likeliest in MIKELS_POSITIVE)
        assert plain[4:6] == ((plain[0], None) if crosses else (None, None))
        assert marked[:5] == plain[:5]
        if crosses:
            source, edited = _small(own.source), _small(own.edited)
            heat = np.zeros((224, 224), np.float32)
            heat[:, :112] = 1
            expected = (marked[1] + structure_half(source, edited, heat)) / 2  # type: ignore[operator]
            assert marked[5] == pytest.approx(expected, abs=0.02)  # the marks' edge is smoothed when they are enlarged
        else:
            assert marked[5] is None


def test_in_bfloat16_the_classifier_says_nearly_what_it_says_in_float32(models: MeasuringModels) -> None:
    esmi = ready(Esmi(models.emotions))
    pixels = esmi._pixels(_small(frames(emotion="awe").source))
    logits, heat = logits_and_heat(esmi._network, pixels)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, rounded_heat = logits_and_heat(esmi._network, pixels)
    assert rounded.dtype is torch.bfloat16
    assert (logits.softmax(-1) - rounded.float().softmax(-1)).abs().max() < 0.02
    assert rounded_heat.dtype == np.float32
    assert np.abs(heat - rounded_heat).mean() < 0.05


def test_emotions_without_a_class_of_the_eight_have_no_esmi(models: MeasuringModels) -> None:
    assert ready(Esmi(models.emotions)).of(frames(emotion="curiosity")) == (None,) * 7
    assert ready(Esmi(models.emotions)).of(frames(emotion="awe"))[0] is not None


def test_a_classifier_of_other_classes_or_without_maps_is_refused(models: MeasuringModels, tmp_path: Any) -> None:
    with pytest.raises(EditError, match="knows no class sadness"):
        Esmi(classifier(tmp_path / "seven", MIKELS_EIGHT[:7])).load()


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (Structure("/nowhere/dino"), ("DINO ViT-B/8", "facebook/dino-vitb8", "Apache-2.0", "343 MB")),
        (Lpips("/nowhere/squeeze.pth"), ("SqueezeNet", "--lpips", "BSD-3-Clause", "4.7 MB")),
        (ClipScore("/nowhere/clip"), ("CLIP ViT-L/14", "openai/clip-vit-large-patch14", "MIT", "1.7 GB")),
        (Esmi(""), ("Mikels' eight", "--emotions", "100 MB")),
    ],
)
def test_missing_weights_are_named_with_licence_size_and_where_to_get_them(
    measure: Measure, words: tuple[str, ...]
) -> None:
    with pytest.raises(MissingWeightsError) as told:
        measure.load()
    assert all(word in str(told.value) for word in words)


def test_a_file_of_weights_that_would_run_code_is_not_run(tmp_path: Any) -> None:
    import pickle

    class Harmful:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(MissingWeightsError):
        Lpips(str(tmp_path / "evil.pth")).load()
    assert not (tmp_path / "ran").exists()


def test_scores_are_equal_to_the_last_bit_again(models: MeasuringModels) -> None:
    kinds = (Structure(models.dino), Lpips(models.lpips), ClipScore(models.clip), Esmi(models.emotions))
    case = frames(prompt="laughing", emotion="amusement")
    first = [ready(each).of(case) for each in kinds]
    other = frames(change=5)
    for each in kinds:
        each.of(other)
    assert [each.of(case) for each in kinds] == first
    assert mean_of_means([], "psnr") is None
