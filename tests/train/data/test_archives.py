"""Training reads archives from an object store, and mixes several by weight, as the command asks."""

import io
from pathlib import Path

from rich.console import Console

from moodarchive.storage.store import Store
from pipelines.model.training import run_training
from tests.making import sealed_archive
from tests.object_store import BUCKET, ObjectStore, object_store  # noqa: F401  the fixture ``server``
from tests.train.small import tiny_clip
from train.data.archive import open_archive

_CONFIG = """
output = "{output}"
[data]
batch = 12
streams = 6
buffer = 4
workers = 0
{archives}
[model]
name = "{model}"
pretrained = ""
[loop]
threads = 1
activation_checkpoints = true
"""


def test_the_command_mixes_an_archive_on_s3_with_a_local_one_by_weight(server: ObjectStore, tmp_path: Path) -> None:
    roots = [f"s3://{BUCKET}/moods", str(tmp_path / "local")]
    for root in roots:
        sealed_archive(Store(root))
    shares = zip(roots, (1.0, 0.5), strict=True)
    archives = "\n".join(f'[[data.archives]]\nroot = "{root}"\nweight = {weight}' for root, weight in shares)
    output = f"s3://{BUCKET}/run"
    config = tmp_path / "train.toml"
    config.write_text(_CONFIG.format(output=output, archives=archives, model=tiny_clip(tmp_path / "clip")))
    told = io.StringIO()
    run_training(str(config), "", Console(file=told, width=200))
    one = sum(shard.samples for shard in open_archive(roots[1]).shards)
    steps = (one + round(one / 2)) // 12
    assert f"step {steps}/{steps}" in told.getvalue() and f"the model is in {output}/model" in told.getvalue()
    written = Store(output)
    assert len(written.read_bytes("checkpoints/training.jsonl").splitlines()) == steps
    assert written.exists("model/open_clip_model.safetensors")
