"""Pictures are embedded in batches that fit into memory, whatever was asked for."""

import io
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from moodarchive.errors import ConfigError, StageError
from moodarchive.models.clip import ClipEncoder, _decode_small, _Transform
from moodarchive.models.device import explain_device_errors
from moodarchive.models.torch_compat import import_torchvision_safely
from tests.making import encoded, textured
from tests.moodarchive.models.fake_gpu import fake_gpu

CHECKPOINT = Path(__file__).parents[3] / "pipelines" / "demo" / "checkpoint"


class _SmallMemory:
    """The tower on a device that holds so many pictures at once."""

    def __init__(self, encode: Any, holds: int) -> None:
        self.encode, self.holds = encode, holds
        self.asked: list[int] = []

    def __call__(self, pixels: torch.Tensor, **options: Any) -> torch.Tensor:
        self.asked.append(len(pixels))
        if len(pixels) > self.holds:
            raise torch.OutOfMemoryError(f"{len(pixels)} pictures, room for {self.holds}")
        found: torch.Tensor = self.encode(pixels, **options)
        return found


def _encoder(monkeypatch: pytest.MonkeyPatch, holds: int) -> tuple[ClipEncoder, _SmallMemory]:
    encoder = ClipEncoder(model=f"local-dir:{CHECKPOINT}")
    model = encoder._loaded.clip
    memory = _SmallMemory(model.encode_image, holds)
    monkeypatch.setattr(model, "encode_image", memory)
    return encoder, memory


def test_a_batch_that_memory_refuses_is_halved_until_it_fits_and_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [textured(seed=seed) for seed in range(11)]
    whole, _ = _encoder(monkeypatch, 11)
    expected = whole.images(pictures)
    encoder, memory = _encoder(monkeypatch, 3)
    np.testing.assert_allclose(encoder.images(pictures), expected, atol=1e-6)
    assert memory.asked == [11, 5, 2, 2, 2, 2, 2, 1]
    encoder.images(pictures[:4])
    assert memory.asked[8:] == [2, 2], "what did not fit once is not tried again"


def test_a_picture_for_which_there_is_no_memory_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, memory = _encoder(monkeypatch, 0)
    with pytest.raises(torch.OutOfMemoryError, match="1 pictures, room for 0"):
        encoder.images([textured(seed=1), textured(seed=2)])
    assert memory.asked == [2, 1]


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small ResNet with an attention pool, of random weights."""
    import_torchvision_safely()
    import open_clip
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("resnet")
    config: dict[str, Any] = {
        "embed_dim": 64,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1},
    }
    preprocess = json.loads((CHECKPOINT / "open_clip_config.json").read_text())["preprocess_cfg"] | {"size": [64, 64]}
    torch.manual_seed(0)
    state = open_clip.CLIP(**config).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    return f"local-dir:{folder}"


@pytest.mark.parametrize("tower", ["ViT", "ResNet"])
def test_in_bfloat16_every_vector_points_where_it_does_in_float32(tower: str, resnet: str) -> None:
    # as on every GPU; open_clip then keeps some parameters in float32 beside bfloat16 products
    name = resnet if tower == "ResNet" else f"local-dir:{CHECKPOINT}"
    full, half = (ClipEncoder(model=name, precision=precision) for precision in ("fp32", "bf16"))
    pictures, texts = [textured(seed=seed) for seed in range(3)], ["a girl laughs", "grey rain"]
    for exact, near in (
        (full.images(pictures), half.images(pictures)),
        (full.texts(texts), half.texts(texts)),
        (full.patches(pictures[0]), half.patches(pictures[0])),
    ):
        assert exact.shape == near.shape and near.dtype == np.float32
        assert ((exact * near).sum(-1) > 0.99).all()
        assert not np.array_equal(exact, near)


def test_in_bfloat16_matches_are_nearly_those_of_float32() -> None:
    full, half = (ClipEncoder(model=f"local-dir:{CHECKPOINT}", precision=name) for name in ("fp32", "bf16"))
    groups = [["a girl laughs", "a dark wood"], ["grey rain"]]
    pixels = [full.prepare(textured(seed=seed)) for seed in range(6)]
    (exact, _), (near, _) = (one.match_batch(pixels, 8, one.group_texts(groups)) for one in (full, half))
    assert near.dtype == np.float64 and 0 < np.abs(exact - near).max() < 0.01


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_in_passes_of_one_shape_neighbours_and_position_change_no_bit(precision: Literal["fp32", "bf16"]) -> None:
    encoder = ClipEncoder(model=f"local-dir:{CHECKPOINT}", precision=precision)
    pixels = [encoder.prepare(textured(seed=seed)) for seed in range(13)]
    expected = encoder.embed_batch(pixels[:7], 7)
    shuffled = encoder.embed_batch([pixels[seed] for seed in (3, 12, 0, 6, 11, 1, 10)], 7)
    assert shuffled[[0, 2, 3, 5]].tobytes() == expected[[3, 0, 6, 1]].tobytes()
    for seed in range(7):
        assert encoder.embed_batch([pixels[seed]], 7).tobytes() == expected[seed : seed + 1].tobytes()
    with pytest.raises(ValueError, match="8 pictures in a pass of 7"):
        encoder.embed_batch(pixels[:8], 7)


@pytest.mark.parametrize("size", [(768, 576), (200, 700), (96, 96), (64, 80)])
def test_what_is_prepared_in_two_halves_is_what_open_clips_transform_gives(size: tuple[int, int]) -> None:
    encoder = ClipEncoder(model=f"local-dir:{CHECKPOINT}")
    image, transform = textured(*size, seed=4), encoder._loaded.transform
    assert encoder.prepare(image).dtype == np.uint8
    batch = transform.to_batch([encoder.prepare(image)] * 2, torch.device("cpu"))
    assert batch.equal(torch.stack([transform._whole(image)] * 2))


def test_a_transform_without_open_clips_normalisation_is_run_whole() -> None:
    transform = _Transform(lambda image: torch.full((3, 2, 2), float(image.width)))
    batch = transform.to_batch([transform.prepare(textured(seed=1))], torch.device("cpu"))
    assert batch.shape == (1, 3, 2, 2) and (batch == textured(seed=1).width).all()


def test_a_jpeg_is_decoded_small_and_looks_the_same_to_the_model() -> None:
    encoder = ClipEncoder(model=f"local-dir:{CHECKPOINT}")
    for seed in range(4):
        data = encoded(textured(768, 576, seed=seed))
        full = Image.open(io.BytesIO(data)).convert("RGB")
        small, whole = encoder.prepare_bytes(data), encoder.prepare(full)
        assert not np.array_equal(small, whole), "decoded at a fraction of its size"
        vectors = encoder.embed_pixels([small, whole])
        assert vectors[0] @ vectors[1] > 0.99
    tiny = encoded(textured(120, 90, seed=9))
    expected = encoder.prepare(Image.open(io.BytesIO(tiny)).convert("RGB"))
    assert np.array_equal(encoder.prepare_bytes(tiny), expected), "nothing is decoded below what the model needs"


@pytest.mark.parametrize("size", [(768, 576), (577, 769), (300, 1000), (145, 144), (2000, 1500)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_small_decode_is_pillows(size: tuple[int, int], options: dict[str, Any]) -> None:
    # two decoders, one library: the faster one changes no score
    file = io.BytesIO()
    textured(*size, seed=5).save(file, "JPEG", quality=85, **options)
    image = Image.open(file)
    image.draft(None, (144, 144))
    small = _decode_small(file.getvalue(), 144, 144)
    assert small.size == image.size and small.mode == "RGB"
    assert np.abs(np.asarray(small, int) - np.asarray(image, int)).max() <= 1


@pytest.mark.parametrize(("mode", "form"), [("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG")])
def test_other_pictures_are_pillows_to_decode(mode: str, form: str) -> None:
    file = io.BytesIO()
    textured(160, 150, seed=5).convert(mode).save(file, form)
    expected = Image.open(file).convert("RGB")
    assert _decode_small(file.getvalue(), 144, 144).tobytes() == expected.tobytes()


def test_a_match_is_the_largest_cosine_to_a_group_and_neighbours_change_no_bit() -> None:
    encoder = ClipEncoder(model=f"local-dir:{CHECKPOINT}")
    pixels = [encoder.prepare(textured(seed=seed)) for seed in range(7)]
    groups = [["a girl laughs", "grey rain", "a dog"], ["a red wall"], ["the sea", "a lamp"]]
    grouped = encoder.group_texts(groups)
    best, texts = encoder.match_batch(pixels, 7, grouped)
    vectors = encoder.embed_batch(pixels, 7).astype(np.float64)
    embedded = encoder.texts([text for group in groups for text in group]).astype(np.float64)
    for column, (first, last) in enumerate([(0, 3), (3, 4), (4, 6)]):
        cosines = vectors @ embedded[first:last].T
        np.testing.assert_allclose(best[:, column], cosines.max(axis=1), atol=1e-12)
        assert (texts[:, column] % len(groups[column]) == cosines.argmax(axis=1)).all()
    few, _ = encoder.match_batch([pixels[4], pixels[2]], 7, grouped)
    assert few.tobytes() == best[[4, 2]].tobytes()


def test_on_a_gpu_all_that_meets_the_model_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = ClipEncoder(model=f"local-dir:{CHECKPOINT}", precision="bf16")
    loaded = encoder._loaded
    image = textured(seed=1)
    with fake_gpu(monkeypatch, loaded.clip) as device:
        object.__setattr__(loaded, "device", device)
        assert encoder.images([image, image]).shape == (2, 96)
        assert encoder.texts(["a", "b"]).shape == (2, 96)
        assert encoder.patches(image).shape == (6, 6, 96)
        best, texts = encoder.match_batch([encoder.prepare(image)], 4, encoder.group_texts([["a", "b"], ["c"]]))
        assert best.shape == texts.shape == (1, 2)
        object.__setattr__(loaded, "device", torch.device("cpu"))
        with pytest.raises(RuntimeError, match=r"at least two devices"):
            encoder.images([image])


def test_a_full_or_failing_gpu_is_explained_and_other_errors_pass() -> None:
    def failing(error: Exception) -> None:
        with explain_device_errors(StageError, "a batch of 64 pictures", "a smaller score.batch"):
            raise error

    with pytest.raises(StageError, match=r"no room for a batch of 64 pictures.*remedy: a smaller score.batch.*nvidia"):
        failing(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"))
    for error in (torch.AcceleratorError("CUDA error: unspecified launch failure"), RuntimeError("CUDNN_STATUS_X")):
        with pytest.raises(StageError, match=r"the GPU failed during a batch.*remedy.*nvidia-smi.*is kept"):
            failing(error)
    with pytest.raises(RuntimeError, match=r"^shapes$"):
        failing(RuntimeError("shapes"))
    with pytest.raises(ConfigError, match=r"^mine$"):
        failing(ConfigError("mine"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_vectors_point_where_they_do_on_a_cpu_and_neighbours_change_no_bit() -> None:
    encoder = ClipEncoder(model=f"local-dir:{CHECKPOINT}")
    assert encoder._loaded.dtype == torch.bfloat16
    pixels = [encoder.prepare(textured(seed=seed)) for seed in range(64)]
    together = encoder.embed_batch(pixels, 64)
    assert encoder.embed_batch(pixels[5:6], 64).tobytes() == together[5:6].tobytes()
    exact = ClipEncoder(model=f"local-dir:{CHECKPOINT}", precision="fp32")
    assert ((exact.embed_pixels(pixels) * together).sum(1) > 0.99).all()
    patches = encoder.patches(textured(seed=1))
    assert patches.shape == (6, 6, 96) and np.isfinite(patches).all()
