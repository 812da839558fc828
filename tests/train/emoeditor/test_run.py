"""EmoEditor's training learns U and M and nothing else, and a resumed run has the bits of an unbroken one.

Small models of random weights: they prove plumbing and no quality.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from editor.edit import Edit
from editor.job import settings_with
from editor.loading import load_method
from moodarchive.diffusion.emotion import Condition, open_encoder
from moodarchive.diffusion.predictor import make_predictor
from moodarchive.errors import ConfigError, DamagedPartError
from pipelines.commands.app import app
from pipelines.editing.sets.emopair.build import build_pairs
from pipelines.editing.sets.emopair.settings import PairSettings
from tests.editor.small_models import small_base
from tests.making import textured
from tests.moodarchive.diffusion.small_emoeditor import HIDDEN, PREDICTOR
from tests.train.small import digests, train_killed
from train.diffusion.pair_latents import encode_pairs
from train.emoeditor.loss import EmoEditorLoss
from train.emoeditor.model import EmoEditorModel, Frozen, make_model
from train.emoeditor.pairs import SealedPairs
from train.emoeditor.run import train_emoeditor
from train.emoeditor.settings import EmoEditorSettings

STEPS = 4
SETS = ("train", "validation", "heldout")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of four channels, a predictor and a set of drawn pairs."""
    top = tmp_path_factory.mktemp("made")
    small_base(top / "base")
    make_predictor(PREDICTOR, seed=5).save(top / "predictor")
    source = {"kind": "drawn", "count": 12, "size": 32}
    build_pairs(PairSettings.model_validate({"sources": [source]}), str(top / "pairs"), on_ray=False)
    return top


def _settings(made: Path, output: Path, **given: Any) -> EmoEditorSettings:
    schedule = {
        "steps": STEPS, "batch": 4, "learning_rate": 1e-3, "warmup_steps": 1, "decay_steps": 2, "average": 0.5,
        "weight_decay": 0,
    }  # fmt: skip
    values = {
        "output": str(output), "pairs": str(made / "pairs"), "base": str(made / "base"), "sets": SETS, "size": 32,
        "predictor": str(made / "predictor"), "hidden": HIDDEN, "schedule": schedule, "checkpoint_steps": 2,
        "identity": 0.25, "threads": 1, **given,
    }  # fmt: skip
    return EmoEditorSettings.model_validate(values)


@pytest.fixture(scope="module")
def trained(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained")
    train_emoeditor(_settings(made, output), lambda report: None)
    return output


def test_what_is_frozen_keeps_its_bits_and_unet_and_encoder_learn(made: Path, trained: Path) -> None:
    files = digests(trained / "model")
    for name in ("vae", "scheduler", "text_encoder", "tokenizer"):
        for path, sha256 in digests(made / "base" / name).items():
            assert files[f"{name}/{path}"] == sha256
    for path, sha256 in digests(made / "predictor").items():
        assert files[f"predictor/{path}"] == sha256
    settings = _settings(made, trained)
    frozen = Frozen(settings, torch.device("cpu"))
    begun = make_model(settings, frozen, SealedPairs(settings.pairs, sets=SETS, size=32))
    from safetensors.torch import load_file

    unet = load_file(trained / "model/unet/diffusion_pytorch_model.safetensors")
    still = [name for name, tensor in begun.unet.state_dict().items() if unet[name].equal(tensor)]
    # the small base's own condition of a latent consistency model is not fed, and some biases have no gradient
    assert not [name for name in still if "cond_proj" not in name], still
    assert unet["conv_in.weight"][:, 4:].abs().sum() > 0
    encoder = open_encoder(trained / "model")
    assert encoder.config.condition == "direction" and encoder.config.tokens == 77
    for name, tensor in begun.encoder.state_dict().items():
        assert not encoder.state_dict()[name].equal(tensor), name


def test_a_killed_run_goes_on_with_the_same_bits(made: Path, trained: Path, tmp_path: Path) -> None:
    assert train_killed(lambda listen: train_emoeditor(_settings(made, tmp_path), listen)) == [3, 4]
    ours, theirs = digests(tmp_path / "model"), digests(trained / "model")
    assert ours == theirs
    logs = [(folder / "checkpoints" / "training.jsonl").read_text() for folder in (tmp_path, trained)]
    assert logs[0] == logs[1]
    lines = [json.loads(line) for line in logs[0].splitlines()]
    assert all({"loss", "noise", "alignment", "margin", "rate"} <= line.keys() for line in lines)
    with pytest.raises(ConfigError, match=r"embedding_weight was 0\.5, is 0\.1"):
        train_emoeditor(_settings(made, tmp_path, embedding_weight=0.1), lambda report: None)


def _open_loss(settings: EmoEditorSettings, cache: Path) -> tuple[EmoEditorLoss, Frozen, SealedPairs, EmoEditorModel]:
    frozen = Frozen(settings, torch.device("cpu"))
    pairs = SealedPairs(settings.pairs, sets=SETS, size=32)
    model = make_model(settings, frozen, pairs)
    loss = EmoEditorLoss(
        model=model, frozen=frozen, pairs=pairs, latents=encode_pairs(frozen.vae, pairs, cache / "cache"),
        settings=settings, distributions=pairs.distributions,
        precision=torch.autocast("cpu", torch.bfloat16, enabled=False),
    )  # fmt: skip
    return loss, frozen, pairs, model


def _watch(model: EmoEditorModel) -> dict[str, Any]:
    """What the model is asked and answers, anew with every call."""
    seen: dict[str, Any] = {}
    forward = model.forward

    def spy(latents: Any, images: Any, times: Any, states: Any) -> Any:
        seen.update(latents=latents, images=images, times=times, states=states)
        seen["noise"] = forward(latents, images, times, states)
        return seen["noise"]

    model.forward = spy  # type: ignore[method-assign]
    return seen


@pytest.mark.parametrize("condition", ["direction", "onehot", "text"])
def test_the_loss_is_the_papers(made: Path, tmp_path: Path, condition: Condition) -> None:
    settings = _settings(made, tmp_path, condition=condition, identity=0, labels="set")
    loss, frozen, pairs, model = _open_loss(settings, tmp_path)
    seen = _watch(model)
    value = float(loss(0).detach())
    # the source's mode unscaled, the target's latent scaled and noised to its own time
    from train.diffusion.pictures import rows_of_step, to_signed

    rows = rows_of_step(0, 4, len(pairs), 0)
    source, target = (
        frozen.vae.encode(to_signed(pairs.pixels(side, rows))).latent_dist for side in ("source", "target")
    )
    assert seen["images"].allclose(source.mode(), atol=1e-5)
    abar = loss._abar[seen["times"]][:, None, None, None]
    draw = torch.Generator().manual_seed(0)
    torch.rand(4, generator=draw)
    inner = torch.randn(target.mean.shape, generator=draw)
    noise = torch.randn(target.mean.shape, generator=draw)
    clean = frozen.vae.config.scaling_factor * (target.mean + target.std * inner)
    assert seen["latents"].allclose(abar.sqrt() * clean + (1 - abar).sqrt() * noise, atol=1e-5)
    expected = float((seen["noise"] - noise).square().mean())
    texts = frozen.text.states(frozen.text.ids(frozen.text.tokens([pairs.prompts[row] for row in rows])))
    if condition == "text":
        assert seen["states"].equal(texts)
    else:
        hot = torch.eye(8)[[pairs.targets[row] for row in rows]]
        emotions = hot if condition == "onehot" else hot - pairs.distributions[rows]
        assert seen["states"].allclose(model.encoder(emotions), atol=1e-6)
        cosines = torch.cosine_similarity(texts.flatten(1), seen["states"].flatten(1), dim=1)
        expected += 0.5 * float((1 - cosines).mean())
    assert value == pytest.approx(expected, abs=1e-5)


def test_a_row_that_loses_its_words_keeps_its_target(made: Path, tmp_path: Path) -> None:
    asked = []
    for share in (0, 0.999):
        settings = _settings(made, tmp_path, condition="text", identity=0, labels="set", unprompted=share)
        loss, frozen, _, model = _open_loss(settings, tmp_path)
        seen = _watch(model)
        loss(0)
        asked.append(seen)
    told, blank = asked
    assert all(told[name].equal(blank[name]) for name in ("latents", "images", "times"))
    wordless = frozen.text.states(frozen.text.ids(frozen.text.tokens([""] * 4)))
    assert blank["states"].equal(wordless) and not told["states"].equal(wordless)
    with pytest.raises(ValueError, match='condition = "direction" reads none'):
        _settings(made, tmp_path, unprompted=0.05)


def test_the_exported_folder_edits_and_the_text_arm_takes_its_instructions_along(
    made: Path, trained: Path, tmp_path: Path
) -> None:
    schedule = _settings(made, tmp_path).schedule.model_copy(update={"steps": 1})
    of_text = _settings(made, tmp_path, condition="text", schedule=schedule)
    for folder in (trained / "model", train_emoeditor(of_text, lambda report: None)):
        method = load_method("emoeditor", str(folder), None, settings_with("emoeditor", size=32, steps=2, rounds=1))
        edit = Edit(image=textured(32, 32, seed=1), prompt="", emotion="fear", seed=1)
        (image,) = method.edit([edit], lambda done, total: None, lambda: False)
        assert np.asarray(image).shape == (32, 32, 3)
    instructions = open_encoder(tmp_path / "model").config.instructions
    pairs = SealedPairs(str(made / "pairs"), sets=SETS, size=32)
    assert {text for texts in instructions for text in texts} == set(pairs.prompts)


def test_the_cache_is_of_its_pairs_and_a_damaged_picture_is_named(made: Path, tmp_path: Path) -> None:
    settings = _settings(made, tmp_path)
    frozen = Frozen(settings, torch.device("cpu"))
    pairs = SealedPairs(settings.pairs, sets=SETS, size=32)
    first = np.array(encode_pairs(frozen.vae, pairs, tmp_path / "cache"))
    before = (tmp_path / "cache/latents.npy").stat().st_mtime_ns
    assert np.array_equal(encode_pairs(frozen.vae, pairs, tmp_path / "cache"), first)
    assert (tmp_path / "cache/latents.npy").stat().st_mtime_ns == before
    fewer = SealedPairs(settings.pairs, sets=("train",), size=32)
    assert len(encode_pairs(frozen.vae, fewer, tmp_path / "cache")) == len(fewer)
    _, tar, (offset, _), _ = pairs._places[0]
    import shutil

    copy = shutil.copytree(made / "pairs", tmp_path / "pairs")
    content = bytearray((copy / tar).read_bytes())
    content[offset + 60] ^= 1
    (copy / tar).write_bytes(content)
    with pytest.raises(DamagedPartError, match="is not what was sealed"):
        SealedPairs(str(copy), sets=SETS, size=32).pixels("source", [0])
    with pytest.raises(ConfigError, match="no pairs in private"):
        SealedPairs(str(made / "pairs"), sets=("private",), size=32)


def test_the_command_trains_what_the_files_kind_names(made: Path, tmp_path: Path) -> None:
    config = tmp_path / "emoeditor.toml"
    settings = _settings(made, tmp_path / "out")
    values = settings.model_dump(mode="json", exclude={"schedule"})
    schedule = settings.schedule.model_copy(update={"steps": 1, "decay_steps": 1}).model_dump(mode="json")
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    lines += ["[schedule]", *(f"{name} = {json.dumps(value)}" for name, value in schedule.items())]
    config.write_text("\n".join(lines))
    done = CliRunner().invoke(app, ["train", str(config)])
    assert done.exit_code == 0, (done.output, done.exception)
    assert f"moodarchive edit --method emoeditor --base {tmp_path}/out/model" in done.output.replace("\n", " ")
    config.write_text('kind = "emoeditors"\n')
    assert "legal are diffusion, emoeditor, epem-captions, predictor, epem, or none" in str(
        CliRunner().invoke(app, ["train", str(config)]).exception
    )
