"""PER's training learns what is new and nothing else, and a resumed run has the bits of an unbroken one.

Small models of random weights: they prove plumbing and no quality.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from moodarchive.diffusion.retaining import VISION, WEIGHTS_FILE, open_retaining, predict_noise
from moodarchive.errors import ConfigError, DatasetError, EditError
from pipelines.commands.app import app
from tests.editor.small_models import small_base
from tests.moodarchive.diffusion.small_epem import QUERIES, drawn_records, small_blip2
from tests.train.small import digests, train_killed
from train.diffusion.pair_latents import encode_pairs
from train.diffusion.pictures import rows_of_step, to_signed
from train.epem.loss import EpemLoss
from train.epem.model import Frozen, make_model
from train.epem.records import RecordsFile
from train.epem.run import train_epem
from train.epem.settings import EpemSettings

STEPS = 4
SCHEDULE = {
    "steps": STEPS, "batch": 2, "learning_rate": 1e-3, "warmup_steps": 1, "decay_steps": 2, "average": 0,
    "weight_decay": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of four channels, a BLIP-2 and drawn records."""
    top = tmp_path_factory.mktemp("made")
    small_base(top / "base")
    small_blip2(top / "blip2")
    drawn_records(top / "lavc", 9)
    return top


def _settings(made: Path, output: Path, **given: Any) -> EpemSettings:
    values = {
        "output": str(output), "records": str(made / "lavc/records.jsonl"), "base": str(made / "base"), "size": 32,
        "blip2": str(made / "blip2"), "schedule": SCHEDULE, "checkpoint_steps": 2, "threads": 1, "queries": QUERIES,
        "heads": 2, "hidden": 32, "instruction_tokens": 16, **given,
    }  # fmt: skip
    return EpemSettings.model_validate(values)


@pytest.fixture(scope="module")
def trained(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained")
    train_epem(_settings(made, output), lambda report: None)
    return output


def test_all_that_is_frozen_keeps_its_bits_and_all_that_is_new_learns(made: Path, tmp_path: Path) -> None:
    # where EAI looks stands behind layers that begin at 0: it moves last, and needs more and larger steps
    settings = _settings(made, tmp_path, schedule=SCHEDULE | {"steps": 8, "learning_rate": 1e-2})
    train_epem(settings, lambda report: None)
    files = digests(tmp_path / "model")
    for name in ("unet", "vae", "scheduler", "text_encoder", "tokenizer"):
        for path, sha256 in digests(made / "base" / name).items():
            assert files[f"{name}/{path}"] == sha256
    blip2 = load_file(made / "blip2/model.safetensors")
    vision = load_file(tmp_path / "model" / VISION / "model.safetensors")
    assert vision and all(tensor.equal(blip2[f"vision_model.{name}"]) for name, tensor in vision.items())
    begun, lacking = make_model(settings, Frozen(settings, torch.device("cpu")))
    assert lacking == ["embeddings", "text layers"]  # the captioner has no text half
    learnt = load_file(tmp_path / "model" / WEIGHTS_FILE)
    # a key's bias changes no attention; the text half's last layer answers nobody, since only queries are read on
    still = [name for name, tensor in begun.state_dict().items() if learnt[name].equal(tensor)]
    assert not [n for n in still if not n.endswith("key.bias") and ".layer.1." not in n and "layernorm" not in n], still
    assert begun.qformer.query_tokens.equal(blip2["query_tokens"])
    assert learnt["image_input.weight"].abs().sum() > 0 and learnt["adapter.out.2.weight"].abs().sum() > 0


def test_a_checkpoint_holds_only_what_learns(made: Path, trained: Path) -> None:
    newest = max((trained / "checkpoints").glob("0*"))
    names = load_file(newest / "model.safetensors").keys()
    learnt = load_file(trained / "model" / WEIGHTS_FILE).keys()
    assert {name.split(".", 1)[1] for name in names} == set(learnt)
    assert not [name for name in learnt if "vision" in name or "conv_in" in name or "down_blocks" in name]


def test_a_killed_run_goes_on_with_the_same_bits(made: Path, trained: Path, tmp_path: Path) -> None:
    assert train_killed(lambda listen: train_epem(_settings(made, tmp_path), listen)) == [3, 4]
    assert digests(tmp_path / "model") == digests(trained / "model")
    logs = [(folder / "checkpoints" / "training.jsonl").read_text() for folder in (tmp_path, trained)]
    assert logs[0] == logs[1]
    assert all({"loss", "noise", "pixels", "rate"} <= json.loads(line).keys() for line in logs[0].splitlines())
    with pytest.raises(ConfigError, match=r"pixel_weight was 0\.3, is 0\.1"):
        train_epem(_settings(made, tmp_path, pixel_weight=0.1), lambda report: None)


@pytest.mark.parametrize("eai", [True, False])
def test_the_loss_is_equation_7(made: Path, tmp_path: Path, eai: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(made, tmp_path, eai=eai, unprompted=0)
    frozen = Frozen(settings, torch.device("cpu"))
    records = RecordsFile(Path(settings.records), split="train", size=32)
    retaining, _ = make_model(settings, frozen)
    assert (retaining.interaction is not None) == eai
    loss = EpemLoss(
        retaining=retaining, frozen=frozen, records=records, latents=encode_pairs(frozen.vae, records, tmp_path),
        settings=settings, precision=torch.autocast("cpu", torch.bfloat16, enabled=False),
    )  # fmt: skip
    calls: list[Any] = []

    def spy(unet: Any, *given: Any) -> Any:
        calls.append((given, predict_noise(unet, *given)))
        return calls[-1][1]

    monkeypatch.setattr("train.epem.loss.predict_noise", spy)
    value = float(loss(0).detach())
    ((noisy, image, times, condition), predicted) = calls[0]
    rows = rows_of_step(0, 2, len(records), 0)
    pictures = [to_signed(records.pixels(side, rows)) for side in ("source", "target")]
    source, target = (frozen.vae.encode(each).latent_dist for each in pictures)
    assert image.allclose(source.mode(), atol=1e-5)
    draw = torch.Generator().manual_seed(0)
    torch.rand(2, generator=draw)
    clean = 0.18215 * (target.mean + target.std * torch.randn(target.mean.shape, generator=draw))
    noise = torch.randn(clean.shape, generator=draw)
    abar = loss._abar[times][:, None, None, None]
    assert noisy.allclose(abar.sqrt() * clean + (1 - abar).sqrt() * noise, atol=1e-5)
    texts = [f"{records.instructions[row]} {records.captions[row]}" for row in rows]
    assert condition.text.equal(frozen.text.states(frozen.text.ids(frozen.text.tokens(texts))))  # f is 0 at first
    clean = (noisy - (1 - abar).sqrt() * predicted) / abar.sqrt()
    edit = frozen.vae.decode(clean / 0.18215).sample
    expected = (predicted - noise).square().mean() + 0.3 * (
        abar.flatten() * (edit - pictures[0]).square().mean((1, 2, 3))
    ).mean()
    assert value == pytest.approx(float(expected.detach()), rel=1e-5)


def test_what_does_not_fit_is_told_before_weights_are_read(made: Path, tmp_path: Path) -> None:
    widened = Path(shutil.copytree(made / "base", tmp_path / "widened"))
    config = json.loads((widened / "unet/config.json").read_text())
    (widened / "unet/config.json").write_text(json.dumps({**config, "in_channels": 8}))
    (widened / "unet/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(EditError, match=r"takes 8 channels, its VAE gives 4.*plain base of the SD 1.5 family"):
        train_epem(_settings(made, tmp_path, base=str(widened)), lambda report: None)
    (widened / "unet/config.json").write_text(json.dumps({**config, "cross_attention_dim": 96}))
    with pytest.raises(EditError, match="the text tower has width 64, wanted is 96"):
        train_epem(_settings(made, tmp_path, base=str(widened)), lambda report: None)
    with pytest.raises(ConfigError, match=r"blip2 = .*has no Q-Former; remedy"):
        train_epem(_settings(made, tmp_path, blip2=str(made / "base/unet")), lambda report: None)
    with pytest.raises(EditError, match=r"query_tokens is \[1, 4, 16\], wanted is \[1, 8, 16\]; remedy"):
        train_epem(_settings(made, tmp_path, queries=8), lambda report: None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"edited_caption": ""}, "line 1: edited_caption has 0 characters"),
        ({"image": "../../etc/passwd"}, "leads out of the folder"),
        ({"edited_image": "edited/none.png"}, r"cannot be read \(missing\); remedy"),
        ({"split": "test"}, "no kept record of the split train; remedy"),
        ({"split": "validation"}, "line 1: split = 'validation' is none of train, test"),
        ({"status": "rejected"}, "no kept record of the split train"),
    ],
)
def test_a_bad_record_is_named(made: Path, tmp_path: Path, change: dict[str, str], says: str) -> None:
    line = json.loads((made / "lavc/records.jsonl").read_text().splitlines()[0])
    (tmp_path / "records.jsonl").write_text(json.dumps({**line, **change}) + "\n")
    shutil.copytree(made / "lavc/original", tmp_path / "original")
    with pytest.raises(DatasetError, match=says):
        RecordsFile(tmp_path / "records.jsonl", split="train", size=32).pixels("target", [0])


def _command(settings: EpemSettings, config: Path) -> Result:
    values = settings.model_dump(mode="json", exclude={"schedule"})
    schedule = settings.schedule.model_copy(update={"steps": 1, "decay_steps": 1}).model_dump(mode="json")
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    lines += ["[schedule]", *(f"{name} = {json.dumps(value)}" for name, value in schedule.items())]
    config.write_text("\n".join(lines))
    return CliRunner().invoke(app, ["train", str(config)])


def test_the_command_trains_what_the_files_kind_names(made: Path, tmp_path: Path) -> None:
    done = _command(_settings(made, tmp_path / "out"), tmp_path / "epem.toml")
    assert done.exit_code == 0, (done.output, done.exception)
    assert open_retaining(tmp_path / "out/model").config.eai


def test_the_command_refuses_a_unet_of_another_width_by_its_configuration(made: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(made / "base", tmp_path / "base"))
    config = json.loads((base / "unet/config.json").read_text())
    (base / "unet/config.json").write_text(json.dumps({**config, "cross_attention_dim": 96}))
    for weights in base.rglob("*.safetensors"):
        weights.unlink()
    refused = _command(_settings(made, tmp_path / "out", base=str(base)), tmp_path / "epem.toml")
    assert isinstance(refused.exception, EditError)
    assert re.search("has width 64, wanted is 96 .*; remedy", str(refused.exception))
