"""The exported folders give the embeddings of the model that was trained, in every form."""

from pathlib import Path

import pytest
import torch

from moodarchive.models.clip import ClipEncoder
from moodarchive.storage.store import Store
from tests.making import textured
from tests.train.small import small_settings, tiny_clip
from train.data.samples import Decoder
from train.data.texts import pack_texts
from train.model.moodify_clip import MoodifyClip
from train.model.towers import Towers, open_towers
from train.saving.checkpoint import Progress
from train.saving.export import export
from train.settings import ModelSettings

TEXTS = (
    "a quiet lake at dawn",
    "Two children run through a bright meadow, laughing; the low sun is warm on their faces! " * 7,
    "don't look: the 3 café owners' eyes are (almost) closed.",
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Towers]:
    folder = tmp_path_factory.mktemp("exported")
    model = tiny_clip(tmp_path_factory.mktemp("clip"))
    towers = open_towers(ModelSettings(name=model, pretrained=""))
    export(Store(str(folder)), towers, Progress(step=1, settings={}, seals=["0"]), small_settings(model, folder))
    return folder / "model", towers


def _trained_texts(towers: Towers) -> torch.Tensor:
    decoder = Decoder(model="ViT-B-16", context=248, preprocess_config=towers.preprocess_config, seed=0)
    tokens = [decoder._tokens("k", text) for text in TEXTS]
    with torch.inference_mode():
        return MoodifyClip(towers.clip, towers.preprocess_config).eval().texts(pack_texts(tokens))


def test_transformers_text_model_reads_248_tokens_as_trained(exported: tuple[Path, Towers]) -> None:
    from transformers import CLIPModel, CLIPTextModelWithProjection, CLIPTokenizer

    folder, towers = exported
    expected = _trained_texts(towers)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "hub")
    read = tokenizer(list(TEXTS), padding="max_length", truncation=True, return_tensors="pt")
    assert read["input_ids"].shape == (3, 248)
    for kind in (CLIPModel, CLIPTextModelWithProjection):
        model, told = kind.from_pretrained(folder / "hub", output_loading_info=True)
        assert not told["missing_keys"]
        with torch.inference_mode():
            if kind is CLIPModel:
                found = model.get_text_features(**read)
                found = getattr(found, "pooler_output", found)
            else:
                found = model(**read).text_embeds
        assert torch.cosine_similarity(found, expected).min() > 0.9999


def test_transformers_sees_an_image_as_open_clip_does(exported: tuple[Path, Towers]) -> None:
    from transformers import CLIPImageProcessor, CLIPModel

    folder, _ = exported
    picture = textured(200, 150, seed=3)
    encoder = ClipEncoder(model=f"local-dir:{folder}")
    pixels = CLIPImageProcessor.from_pretrained(folder / "hub")(picture, return_tensors="pt")
    with torch.inference_mode():
        found = CLIPModel.from_pretrained(folder / "hub").eval().get_image_features(**pixels)
    found = getattr(found, "pooler_output", found)
    assert torch.cosine_similarity(found, torch.from_numpy(encoder.images([picture]))).min() > 0.9999


def test_open_clip_reads_what_was_trained(exported: tuple[Path, Towers]) -> None:
    folder, towers = exported
    found = torch.from_numpy(ClipEncoder(model=f"local-dir:{folder}").texts(TEXTS))
    assert torch.cosine_similarity(found, _trained_texts(towers)).min() > 0.9999


def test_patches_are_projected_as_the_image_is(exported: tuple[Path, Towers]) -> None:
    _, towers = exported
    visual = towers.clip.visual.eval()
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        images, patches = MoodifyClip(towers.clip, towers.preprocess_config).eval().images(pixels)
        tokens = visual.ln_post(visual.transformer(visual._embeds(pixels)))
        expected = torch.nn.functional.normalize(tokens @ visual.proj, dim=-1)
    assert patches.shape == (2, 16, 32)
    assert torch.allclose(patches, expected[:, 1:], atol=1e-6)
    assert torch.allclose(images, expected[:, 0], atol=1e-6)


def test_the_stretch_keeps_the_first_twenty_positions_and_interpolates_the_rest() -> None:
    from moodarchive.models.long_text import stretch_positions

    table = torch.randn(77, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = stretch_positions(table)
    assert found.shape == (248, 5)
    assert found[:20].equal(table[:20])
    for i in range(56):
        for k in range(4):
            expected = ((4 - k) * table[20 + i] + k * table[21 + i]) / 4
            assert torch.allclose(found[20 + 4 * i + k], expected)
    for k in range(4):
        assert torch.allclose(found[244 + k], table[76] + k / 4 * (table[76] - table[75]))


def test_texts_in_groups_of_their_length_embed_as_padded_ones(exported: tuple[Path, Towers]) -> None:
    _, towers = exported
    decoder = Decoder(model="ViT-B-16", context=248, preprocess_config=towers.preprocess_config, seed=0)
    tokens = [decoder._tokens("k", " ".join(TEXTS[0].split() * times)) for times in (3, 1, 9, 2, 7, 1, 12, 5, 4)]
    padded = torch.stack([torch.nn.functional.pad(torch.tensor(ids), (0, 248 - len(ids))) for ids in tokens])
    with torch.inference_mode():
        found = MoodifyClip(towers.clip, towers.preprocess_config).eval().texts(pack_texts(tokens))
        assert torch.allclose(towers.clip.encode_text(padded, normalize=True), found, atol=1e-6)
