"""The score stage beside the way it was before: decode whole, prepare and embed in one thread, batch after batch.

One part of drawn photographs is scored by turns, so that other work of the machine falls on both sides. Also measured:
the model's own rate at the same batch, of which the stage keeps 80% while cores for decoding are free. On a CPU the
model is the demo's, on a GPU a ViT-L/14 of random weights: figures tell of speed and of nothing else.
"""

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pyarrow as pa
from PIL import Image

from filter.score import Scorer, ScoreSettings, decoding_threads, phrases_of_emotions
from filter.scoring_rate import scoring_wall
from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.models.clip import ClipEncoder
from moodarchive.models.torch_compat import import_torchvision_safely
from moodarchive.running.metrics import collect_figures
from moodarchive.tables.schemas import IMAGES, ITEMS, SAFETY, as_batch, empty_row

import_torchvision_safely()
import open_clip  # noqa: E402
import torch  # noqa: E402

DEMO = Path(__file__).resolve().parent.parent / "pipelines" / "demo" / "checkpoint"
FASTER, OF_CEILING = 2.0, 0.8
QUERY = {"emotion": "joy", "context": "urban_scenery", "phrase": "a", "rank": 0}
READ = 64
"""Rows of a record batch, as the stage reads them."""


def photograph(seed: int) -> bytes:
    """A JPEG of 768 x 576 that weighs about what a photograph does: soft shapes and a grain."""
    draw = np.random.default_rng(seed)
    shapes = Image.fromarray(draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((768, 576), Image.BICUBIC)
    grain = draw.normal(0, 7, (576, 768, 1))
    values = (np.asarray(shapes, np.float32) + grain).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "JPEG", quality=85)
    return file.getvalue()


def readers_of(jpegs: list[bytes], rows: int) -> Any:
    """A part's three tables in memory, the pictures again and again."""

    def batches(table: Any, fields: Callable[[int], dict[str, Any]]) -> Callable[[], Iterator[pa.RecordBatch]]:
        full = [
            as_batch(table, [empty_row(table, key=f"{n:016x}", **fields(n)) for n in range(rows)[first : first + READ]])
            for first in range(0, rows, READ)
        ]
        return lambda: iter(full)

    return {
        ITEMS.name: batches(ITEMS, lambda n: {"queries": [QUERY]}),
        IMAGES.name: batches(IMAGES, lambda n: {"bytes": jpegs[n % len(jpegs)], "status": "ok"}),
        SAFETY.name: batches(SAFETY, lambda n: {"verdict": "safe", "status": "ok"}),
    }


class Before:
    """The stage's work as it was: one thread, whole decodes, a product an emotion and picture in float32."""

    def __init__(self, encoder: ClipEncoder, batch: int) -> None:
        self.encoder, self.batch = encoder, batch
        phrases = phrases_of_emotions(ScoreSettings().templates)
        self.embedded = [encoder.texts(phrases[emotion]) for emotion in EMOTIONS]

    def __call__(self, readers: Any) -> int:
        loaded, scored = self.encoder._loaded, 0
        for images in readers[IMAGES.name]():
            rows = images.to_pylist()
            for first in range(0, len(rows), self.batch):
                pictures = [
                    Image.open(io.BytesIO(row["bytes"])).convert("RGB") for row in rows[first : first + self.batch]
                ]
                pixels = torch.stack([loaded.transform._whole(picture) for picture in pictures])
                with torch.inference_mode():
                    features = loaded.clip.encode_image(pixels.to(loaded.device, loaded.dtype), normalize=True)
                for vector in features.float().cpu().numpy():
                    scores = [float((embedded @ vector).max()) for embedded in self.embedded]
                    scored += len(scores) == len(EMOTIONS)
        return scored


def write_large_model(folder: Path) -> str:
    """A ViT-L/14 of random weights as an exported folder."""
    from safetensors.torch import save_file

    config = dict(open_clip.get_model_config("ViT-L-14-quickgelu"))
    with torch.device("cuda"):
        clip = open_clip.CLIP(**config)
    state = {name: tensor.contiguous() for name, tensor in clip.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    preprocess = {"size": [224, 224], "mode": "RGB", "mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28],
                  "interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0}  # fmt: skip
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    return f"local-dir:{folder}"


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    """On the clock, and of the processor."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - cpu


def _ceiling(encoder: ClipEncoder, jpeg: bytes, batch: int, passes: int) -> float:
    """Pictures a second of the model alone at this batch."""
    pixels = [encoder.prepare_bytes(jpeg)] * batch
    encoder.embed_batch(pixels, batch)
    return batch / statistics.median(_seconds(lambda: encoder.embed_batch(pixels, batch))[0] for _ in range(passes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=0, help="of a part; by default 512, on a GPU 4096")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--decoders", type=int, default=0)
    options = parser.parse_args()
    gpu = torch.cuda.is_available()
    pictures = options.pictures or (4096 if gpu else 512)
    with tempfile.TemporaryDirectory() as folder:
        name = write_large_model(Path(folder)) if gpu else f"local-dir:{DEMO}"
        encoder = ClipEncoder(model=name)
        settings = ScoreSettings(model=name, pretrained="", decoders=options.decoders)
        encoder.parameters  # noqa: B018  loaded now, while the folder is there
    batch, decoders = settings.batch, decoding_threads(settings)
    jpegs = [photograph(seed) for seed in range(64)]
    readers, few = readers_of(jpegs, pictures), readers_of(jpegs, 2 * batch)
    before, now = Before(encoder, batch), Scorer(encoder, settings.templates, batch, decoders)
    figures: dict[str, float] = {}

    def score_now(tables: Any = readers) -> None:
        with collect_figures() as measured:
            rows = sum(len(rows) for rows in now(0, tables))
        figures.update(measured)
        assert rows in (pictures, 2 * batch)

    score_now(few), before(few)
    times = [(_seconds(lambda: before(readers)), _seconds(score_now)) for _ in range(options.rounds)]
    old, new = (statistics.median(pictures / wall for wall, _ in side) for side in zip(*times, strict=True))
    old_cpu, new_cpu = (
        statistics.median(1000 * cpu / pictures for _, cpu in side) for side in zip(*times, strict=True)
    )
    own = _ceiling(encoder, jpegs[0], batch, 10)
    where = torch.cuda.get_device_name() if gpu else f"CPU, {settings.threads} thread for the model"
    size = statistics.mean(map(len, jpegs)) / 1000
    model = "ViT-L/14, random weights" if gpu else "the demo's model"
    says = f"scoring, {model}, 768 x 576 JPEGs of {size:.0f} kB, batch {batch}, {decoders} decoders; {where}"
    claims = [
        {"claim": says, "ours": round(new, 1), "peer": round(old, 1), "unit": "images/s", "ratio": round(new / old, 2),
         "bar": FASTER, "met": new / old >= FASTER},
        {"claim": "the same, processor time a picture", "ours": round(new_cpu, 2), "peer": round(old_cpu, 2),
         "unit": "ms", "ratio": round(old_cpu / new_cpu, 2)},
        {"claim": "the same against the model alone", "ours": round(new, 1), "peer": round(own, 1), "unit": "images/s",
         "ratio": round(new / own, 2), "bar": OF_CEILING, "met": new / own >= OF_CEILING,
         "wall": scoring_wall([figures])},
    ]  # fmt: skip
    for claim in claims:
        print(json.dumps(claim))


if __name__ == "__main__":
    main()
