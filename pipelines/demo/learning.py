"""The demo's training: MoodifyCLIP from the bundled checkpoint on the sealed pictures, measured before and after."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from moodarchive.emotions.taxonomy import EMOTIONS
from moodarchive.errors import ConfigError, NotAnArchiveError
from moodarchive.models.clip import ClipEncoder
from moodarchive.storage.store import Store
from pipelines.demo.bundled import CLIP
from train.data.archive import SealedArchive, open_archive
from train.evaluation.evaluate import embed_archive, emotion_embeddings

if TYPE_CHECKING:
    from train.settings import TrainSettings

LEARNED_PATH = "report/learned.json"
STEPS = 60
BATCH = 32
RECALLS = (1, 5)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One figure on the held-out pictures, in per cent: by guessing, of the checkpoint, and after training."""

    figure: str
    chance: float
    before: float
    after: float


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What the demo's training did; ``seal`` is that of the archive it trained on."""

    seal: str
    steps: int
    pictures: int
    heldout: int
    changes: Sequence[Change]


def learn(store: Store, console: Console) -> Learned:
    """Trains, exports to ``model/`` and measures on the held-out set; an archive that was trained on is left alone."""
    from pipelines.runner.training_progress import train_and_tell

    archive = open_archive(store.root)
    if (known := _read_learned(store)) and known.seal == archive.seal:
        return known
    pictures = sum(shard.samples for shard in archive.shards)
    settings = training_settings(pictures)
    try:
        train_and_tell(settings, store.root, console)
    except ConfigError:
        # checkpoints of an earlier seal: the demo's pictures were changed, and its training begins anew
        for path in store.files("checkpoints"):
            store.remove(path)
        train_and_tell(settings, store.root, console)
    heldout, changes = _changes(store)
    learned = Learned(
        seal=archive.seal,
        steps=pictures // settings.data.batch * settings.data.epochs,
        pictures=pictures,
        heldout=heldout,
        changes=changes,
    )
    store.write_bytes(LEARNED_PATH, (json.dumps(asdict(learned), indent=1) + "\n").encode())
    return learned


def training_settings(pictures: int) -> "TrainSettings":
    """All four losses for about STEPS steps, of smaller batches where the archive has fewer pictures than one."""
    batch = min(BATCH, pictures)
    from train.settings import TrainSettings

    return TrainSettings.model_validate(
        {
            "data": {"batch": batch, "epochs": -(-STEPS // (pictures // batch)), "streams": 8, "workers": 0},
            "model": {"name": CLIP, "pretrained": ""},
            "optimiser": {"learning_rate": 3e-4, "warmup_steps": 10},
            # one thread: two on a busy machine wait for each other
            "loop": {"precision": "fp32", "checkpoint_steps": 20, "keep_checkpoints": 1, "threads": 1},
        }
    )


def describe(learned: Learned) -> list[str]:
    """Lines for a terminal."""
    lines = [f"trained on {learned.pictures} pictures for {learned.steps} steps; model/ is an open_clip folder"]
    if not learned.changes:
        return [*lines, "too few held-out pictures to measure what it learned"]
    lines.append(f"on {learned.heldout} held-out pictures, per cent (chance, before, after):")
    return lines + [f"  {c.figure}: {c.chance:.1f}, {c.before:.1f}, {c.after:.1f}" for c in learned.changes]


def _read_learned(store: Store) -> Learned | None:
    try:
        record: dict[str, Any] = json.loads(store.read_bytes(LEARNED_PATH))
        return Learned(**{**record, "changes": [Change(**change) for change in record["changes"]]})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def _changes(store: Store) -> tuple[int, list[Change]]:
    """The held-out pictures, and the figures on them; none where fewer than two are held out."""
    try:
        archive = open_archive(store.root, ("heldout",))
    except NotAnArchiveError:
        return 0, []
    pictures = sum(shard.samples for shard in archive.shards)
    if pictures < 2:
        return pictures, []
    folder = f"local-dir:{store.root.rstrip('/')}/model"
    before, after = (_figures(archive, ClipEncoder(model=model)) for model in (CLIP, folder))
    return pictures, [
        Change(figure=name, chance=chance, before=value, after=after[name][0])
        for name, (value, chance) in before.items()
    ]


def _figures(archive: SealedArchive, encoder: ClipEncoder) -> dict[str, tuple[float, float]]:
    """Figure → value and chance, per cent: the set is too small for folds, so all of its pictures compete."""
    samples = embed_archive(archive, encoder)
    searched = sorted(set(samples.emotions))
    prompts = emotion_embeddings(encoder)[[EMOTIONS.index(emotion) for emotion in searched]]
    guesses = [searched[index] for index in (samples.images @ prompts.T).argmax(axis=1)]
    named = np.mean([one == other for one, other in zip(guesses, samples.emotions, strict=True)])
    figures = {f"emotion named, of {len(searched)}": (100 * float(named), 100 / len(searched))}
    cosines, total = samples.images @ samples.captions.T, len(samples.emotions)
    for name, scores in (("picture to caption", cosines), ("caption to picture", cosines.T)):
        ranks = (scores >= np.diag(scores)[:, None]).sum(axis=1)
        for k in RECALLS:
            figures[f"{name}, R@{k}"] = (100 * float((ranks <= k).mean()), 100 * min(1.0, k / total))
    return figures
