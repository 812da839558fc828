"""The scores' own model, for searches by text and by a picture that is not in the archive; loaded when first asked."""

import threading
from functools import cached_property
from typing import Any

from crawl.images.decode import PictureLimits, to_picture
from moodarchive.errors import RowError, UsageError
from moodarchive.models.clip import ClipEncoder
from moodarchive.storage.store import Store
from pipelines.browse.pictures import MOST_PIXELS
from pipelines.browse.vectors import Vector
from pipelines.runner.settings_record import require_recorded_settings

MOST_UPLOAD = 32 << 20
_LIMITS = PictureLimits(max_pixels=MOST_PIXELS, shortest_side=8, longest_side=768, jpeg_quality=90)


class Encoder:
    """Embeds as the scoring did; safe for threads."""

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, threading.Lock()

    @cached_property
    def _clip(self) -> ClipEncoder:
        score: dict[str, Any] = require_recorded_settings(self._store)["per_row"].get("score", {})
        if "model" not in score:
            raise UsageError(f"{self._store.root} does not say which model scored it")
        return ClipEncoder(model=score["model"], pretrained=score.get("pretrained", ""), threads=2)

    def embed_text(self, text: str) -> Vector:
        """Of length 1. MoodArchiveError when the model is not at hand."""
        with self._lock:
            (vector,) = self._clip.texts([text])
            return vector  # type: ignore[no-any-return]

    def embed_picture(self, served: bytes) -> Vector:
        """Of length 1, read with the limits that downloads have. UsageError for bytes that are no picture."""
        try:
            picture = to_picture(served, _LIMITS)
        except RowError as error:
            raise UsageError(f"that file is no picture to search by: {error}") from None
        with self._lock:
            self._clip.texts(["loaded"])
            (vector,) = self._clip.embed_pixels([self._clip.prepare_bytes(picture.bytes)])
            return vector  # type: ignore[no-any-return]
