"""What a root's finished parts say of the shares and rates that a plan assumes."""

from collections.abc import Iterable, Mapping

from moodarchive.errors import ConfigError
from moodarchive.storage.store import Store
from moodarchive.tables.parts import Sidecar, finished_parts, read_part
from moodarchive.tables.schemas import CANDIDATES, CAPTIONS, IMAGES, ITEMS, SAFETY, SCORES, SELECTION
from pipelines.inspect.plan import count_captioning_gpus
from pipelines.runner.settings_record import require_recorded_settings
from pipelines.settings import ArchiveSettings

_REPEATS = ("repeat", "near_heldout")
_PARTS_READ = 20
"""Parts of images/ whose columns are read for the size of pictures as served: the others' sidecars suffice."""


def measure_rates(store: Store, settings: ArchiveSettings) -> dict[str, float]:
    """Assumptions by name, of those that the root can answer; ConfigError when it has no finished picture.

    A rate is rows over the seconds in which at least one part was being worked on: pauses between runs do not count.
    GPUs are counted as the settings have them, so the root's own settings belong beside it.
    """
    require_recorded_settings(store)
    images, safety, captions, scores, selection = (
        finished_parts(store, table) for table in (IMAGES, SAFETY, CAPTIONS, SCORES, SELECTION)
    )
    pictures, arrived = _rows(images), _good_rows(images)
    if not arrived:
        raise ConfigError(f"--measure {store.root}: no part of it is downloaded yet; remedy: run it for a while first")
    rates = {
        "download_share": arrived / pictures,
        "pictures_per_s": pictures / _busy_seconds(images.values()),
        "stored_kb": sum(sidecar.bytes for sidecar in images.values()) / arrived / 1e3,
        "served_kb": _served_kb(store, sorted(images)),
    }
    found = _rows(finished_parts(store, CANDIDATES))
    if found:
        rates["new_share"] = _rows(finished_parts(store, ITEMS)) / found
    if safe := _good_rows({part: sidecar for part, sidecar in safety.items() if part in images}):
        rates["safe_share"] = safe / _good_rows({part: images[part] for part in safety if part in images})
    if answered := _good_rows(captions):
        rates["captions_per_gpu_s"] = answered / _busy_seconds(captions.values()) / count_captioning_gpus(settings)
    if scored := _good_rows(scores):
        rates["scores_per_gpu_s"] = scored / _busy_seconds(scores.values()) / settings.score.workers
    if judged := _good_rows({part: safety[part] for part in selection if part in safety}):
        rates["kept_share"] = _good_rows(selection) / judged
        repeats = sum(sidecar.failures.get(why, 0) for sidecar in selection.values() for why in _REPEATS)
        rates["repeat_share"] = repeats / judged
    return {name: value for name, value in rates.items() if value > 0}


def _rows(parts: Mapping[int, Sidecar]) -> int:
    return sum(sidecar.rows for sidecar in parts.values())


def _good_rows(parts: Mapping[int, Sidecar]) -> int:
    """Rows that are neither failed nor dropped nor skipped."""
    return sum(sidecar.rows - sidecar.lost for sidecar in parts.values())


def _busy_seconds(parts: Iterable[Sidecar]) -> float:
    """Seconds in which at least one of the parts was being made."""
    busy, until = 0.0, 0.0
    for sidecar in sorted(parts, key=lambda sidecar: sidecar.started):
        begin = max(sidecar.started, until)
        busy += max(0.0, sidecar.finished - begin)
        until = max(until, sidecar.finished)
    return max(busy, 1e-3)


def _served_kb(store: Store, parts: list[int]) -> float:
    """The mean size as served, of parts spread evenly over the root."""
    step = max(1, len(parts) // _PARTS_READ)
    sizes = [
        size
        for part in parts[::step]
        for batch in read_part(store, IMAGES, part, columns=["original_bytes"], batch_rows=10_000)
        for size in batch["original_bytes"].to_pylist()
        if size
    ]
    return sum(sizes) / len(sizes) / 1e3 if sizes else 0.0
