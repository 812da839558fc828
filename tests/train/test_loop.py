"""A training run can be killed anywhere and resumed on other ranks and workers without losing or repeating a batch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from moodarchive.errors import ConfigError, DamagedPartError, NotAnArchiveError, StageError
from moodarchive.storage.store import Store
from tests.making import sealed_archive
from tests.train.small import PREPROCESS, log_of, small_settings, tiny_clip
from train.data.archive import open_archive
from train.data.samples import Decoder
from train.data.stream import RankStream
from train.loop import StepReport, train
from train.settings import TrainSettings


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = Store(str(tmp_path_factory.mktemp("archive")))
    sealed_archive(store)
    return store.root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def undisturbed(root: str, model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed")
    train(small_settings(model, output), root, lambda report: None)
    return output


def _in_processes(ranks: int, settings: TrainSettings, root: str, output: Path, kill_after: int = 0) -> None:
    """Runs the job under torchrun's environment; with ``kill_after`` rank 0 is killed after that step."""
    told = output / "settings.json"
    told.write_text(settings.model_dump_json())
    command = [sys.executable, "-m", "tests.train.job", str(told), root, *([str(kill_after)] if kill_after else [])]
    if ranks > 1:
        command = [
            sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}", "--standalone",
            "--local-addr=127.0.0.1", *command[1:],
        ]  # fmt: skip
    done = subprocess.run(
        command,
        check=False,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode != 0) == bool(kill_after), done.stderr[-9000:]


def _keys(output: Path) -> list[str]:
    return [line["keys"] for line in log_of(output)]


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit_on_one_rank(root: str, model: str, undisturbed: Path, tmp_path: Path) -> None:
    settings = small_settings(model, tmp_path)
    _in_processes(1, settings, root, tmp_path, kill_after=3)
    assert [line["step"] for line in log_of(tmp_path)] == [1, 2]
    _in_processes(1, settings, root, tmp_path)
    assert log_of(tmp_path) == log_of(undisturbed)
    for name in ("open_clip_model.safetensors", "open_clip_config.json", "README.md"):
        assert (tmp_path / "model" / name).read_bytes() == (undisturbed / "model" / name).read_bytes()


@pytest.mark.slow
def test_a_run_killed_while_a_checkpoint_is_written_goes_on_from_the_one_before(
    root: str, model: str, undisturbed: Path, tmp_path: Path
) -> None:
    settings = small_settings(model, tmp_path, data={"workers": 1})
    _in_processes(1, settings, root, tmp_path, kill_after=-4)
    half = tmp_path / "checkpoints" / "00000004"
    assert [path.name.split(".")[0] for path in sorted(half.iterdir())] == ["model", "optimiser"]
    assert not (half / "state.json").exists()
    _in_processes(1, settings, root, tmp_path)
    assert log_of(tmp_path) == log_of(undisturbed)
    for name in ("open_clip_model.safetensors", "README.md"):
        assert (tmp_path / "model" / name).read_bytes() == (undisturbed / "model" / name).read_bytes()


@pytest.mark.torture
def test_a_run_goes_on_with_other_ranks_and_workers(root: str, model: str, undisturbed: Path, tmp_path: Path) -> None:
    _in_processes(1, small_settings(model, tmp_path, data={"workers": 2}), root, tmp_path, kill_after=3)
    assert len(log_of(tmp_path)) == 2
    _in_processes(2, small_settings(model, tmp_path), root, tmp_path, kill_after=5)
    assert len(log_of(tmp_path)) == 4
    _in_processes(3, small_settings(model, tmp_path, data={"workers": 2}), root, tmp_path)
    assert _keys(tmp_path) == _keys(undisturbed)
    losses = [[line["loss"] for line in log_of(output)] for output in (tmp_path, undisturbed)]
    # the transport term looks at the rank's own batch by default, so that only the first steps are comparable
    assert losses[0][:2] == losses[1][:2]


def test_slices_of_a_batch_train_as_the_whole_batch(root: str, model: str, undisturbed: Path, tmp_path: Path) -> None:
    train(small_settings(model, tmp_path, loop={"accumulate": 3}), root, lambda report: None)
    for sliced, whole in zip(log_of(tmp_path), log_of(undisturbed), strict=True):
        assert sliced["loss"] == pytest.approx(whole["loss"], rel=1e-3)


def test_training_lowers_the_loss_and_the_model_can_be_loaded(undisturbed: Path) -> None:
    from moodarchive.models.clip import ClipEncoder

    found = log_of(undisturbed)
    assert found[-1]["loss"] < found[0]["loss"]
    assert set(found[0]) == {"step", "keys", "loss", "full", "short", "fine_grained", "transport"}
    encoder = ClipEncoder(model=f"local-dir:{undisturbed / 'model'}")
    long_text = " ".join(f"word{i}" for i in range(100))
    assert encoder.texts([long_text, long_text + " more"]).shape == (2, 32)
    assert "248 tokens" in (undisturbed / "model" / "README.md").read_text()


def test_a_corrupt_sample_is_counted_and_replaced(root: str, model: str, tmp_path: Path) -> None:
    copy = _copy(root, tmp_path / "copy")
    _flip(next((copy / "shards" / "train").glob("*.tar")), at=2000)
    reports: list[StepReport] = []
    settings = small_settings(model, tmp_path, data={"check": "sizes", "epochs": 1, "batch": 6})
    train(settings, str(copy), reports.append)
    assert reports[-1].replaced == 1


def test_a_changed_shard_ends_the_run_before_its_first_step(root: str, model: str, tmp_path: Path) -> None:
    copy = _copy(root, tmp_path / "copy")
    _flip(next((copy / "shards" / "train").glob("*.tar")), at=2000)
    with pytest.raises(DamagedPartError, match=r"is not the one that was sealed; remedy: moodarchive verify"):
        train(small_settings(model, tmp_path), str(copy), _never)


def test_a_root_without_seal_is_refused(root: str, model: str, tmp_path: Path) -> None:
    copy = _copy(root, tmp_path / "copy")
    (copy / "manifest.json").unlink()
    with pytest.raises(NotAnArchiveError, match=r"is not sealed"):
        train(small_settings(model, tmp_path), str(copy), _never)


def test_a_checkpoint_of_another_run_is_refused(root: str, model: str, undisturbed: Path) -> None:
    changed = small_settings(model, undisturbed, optimiser={"learning_rate": 1e-4, "warmup_steps": 2})
    with pytest.raises(ConfigError, match=r"optimiser.learning_rate was 0.001, is 0.0001; remedy"):
        train(changed, root, _never)


@pytest.mark.parametrize("check", ["digests", "sizes"])
def test_a_caption_over_the_models_limit_is_named_before_the_first_step(
    check: str, root: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = _longest_caption(root, model) - 1
    name = _with_context(model, tmp_path / "short", context)
    settings = small_settings(name, tmp_path, data={"check": check})
    monkeypatch.setattr(RankStream, "__iter__", _never)
    with pytest.raises(
        StageError, match=rf"the caption of [0-9a-f]{{16}} has {context + 1} tokens, the model reads {context}; remedy"
    ):
        train(settings, root, lambda report: None)


def test_captions_are_counted_from_the_table_once_for_a_run_and_its_resumption(
    root: str, model: str, tmp_path: Path
) -> None:
    copy = _copy(root, tmp_path / "copy")
    settings = small_settings(model, tmp_path / "out", data={"check": "sizes", "epochs": 1})
    train(settings, str(copy), lambda report: None)
    for table in (copy / "captions").glob("*.parquet"):
        table.unlink()
    train(settings, str(copy), _never)
    (tmp_path / "out" / "checkpoints").rename(tmp_path / "away")
    with pytest.raises(DamagedPartError, match=r"captions/0000[01].parquet is missing; remedy"):
        train(settings, str(copy), _never)


def test_a_shard_whose_captions_alone_have_changed_is_named_as_changed(root: str, model: str, tmp_path: Path) -> None:
    copy = _copy(root, tmp_path / "copy")
    shard = open_archive(root).shards[0]
    where = shard.rows()["txt_offset"][0]
    path = copy / shard.tar
    data = bytearray(path.read_bytes())
    data[where : where + 20] = b"\xff" * 20
    path.write_bytes(data)
    name = _with_context(model, tmp_path / "short", _longest_caption(root, model))
    with pytest.raises(DamagedPartError, match=r"is not the one that was sealed; remedy: moodarchive verify"):
        train(small_settings(name, tmp_path), str(copy), _never)


def _longest_caption(root: str, model: str) -> int:
    decoder = Decoder(model=model, context=248, preprocess_config=PREPROCESS, seed=0)
    captions = []
    for shard in open_archive(root).shards:
        shard.check_content(lambda _, text: captions.append(text))
    return max(len(decoder._tokens("k", text)) for text in captions)


def _with_context(model: str, folder: Path, context: int) -> str:
    from safetensors.torch import load_file, save_file

    long = Path(model.removeprefix("local-dir:"))
    told = json.loads((long / "open_clip_config.json").read_text())
    folder.mkdir()
    told["model_cfg"]["text_cfg"]["context_length"] = context
    (folder / "open_clip_config.json").write_text(json.dumps(told))
    weights = load_file(long / "open_clip_model.safetensors")
    weights["positional_embedding"] = weights["positional_embedding"][:context].clone()
    save_file(weights, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


def test_a_model_that_cannot_be_had_is_named(root: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.name = 'local-dir:/nowhere'.*remedy"):
        train(small_settings("local-dir:/nowhere", tmp_path), root, _never)


def test_a_loss_that_is_not_finite_stops_the_run(root: str, model: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    tiny_clip(broken)
    from safetensors.torch import load_file, save_file

    weights = load_file(broken / "open_clip_model.safetensors")
    save_file({**weights, "logit_scale": torch.tensor(float("nan"))}, broken / "open_clip_model.safetensors")
    with pytest.raises(StageError, match=r"the loss is not finite at step 0"):
        train(small_settings(f"local-dir:{broken}", tmp_path), root, _never)


def _never(*given: Any) -> Any:
    raise AssertionError(f"a step was done: {given}")


def _copy(root: str, to: Path) -> Path:
    import shutil

    shutil.copytree(root, to)
    return to


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
