"""Opens a published dataset's pictures within limits, a batch ahead of whoever looks at them."""

import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from PIL import Image

from moodarchive.errors import RowError
from train.evaluation.scoring import LeftOut
from train.published.dataset import Located

MAX_BYTES = 64 << 20
MAX_PIXELS = 100_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
AT_ONCE = 64
Prepared = TypeVar("Prepared")


def batches(
    folder: Path, pictures: Sequence[Located], prepare: Callable[[Image.Image], Prepared]
) -> Iterator[list[Prepared | LeftOut]]:
    """The pictures in order, 64 at a time, each as ``prepare`` makes it or as the reason why not.

    Threads work on the next batch; each holds one whole picture, so that large ones do not add up.
    """

    def open_one(located: Located) -> Prepared | LeftOut:
        try:
            return prepare(open_picture(folder, located))
        except RowError as error:
            return LeftOut(picture=located.path, reason=error.kind)

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        pending: list[Future[Prepared | LeftOut]] = []
        for at in range(0, len(pictures) + AT_ONCE, AT_ONCE):
            ahead = [pool.submit(open_one, located) for located in pictures[at : at + AT_ONCE]]
            if pending:
                yield [future.result() for future in pending]
            pending = ahead


def open_picture(folder: Path, located: Located) -> Image.Image:
    """RGB, cut to the box where there is one. RowError ``missing``, ``too_many_bytes``, ``corrupt_image``, …"""
    path = folder / located.path
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RowError("too_many_bytes")
        data = path.read_bytes()
    except OSError:
        raise RowError("missing") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise RowError("too_many_pixels")
                picture = image.convert("RGB")
    except RowError:
        raise
    except Exception as error:  # noqa: BLE001  decoders raise anything on hostile bytes
        raise RowError("corrupt_image", f"{type(error).__name__}: {error}") from None
    return picture if located.box is None else _cut(picture, located.box)


def _cut(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """The part of the box that lies on the picture; boxes may stand over its edge."""
    left, top = (max(0, round(value)) for value in box[:2])
    right, bottom = min(image.width, round(box[2])), min(image.height, round(box[3]))
    if right <= left or bottom <= top:
        raise RowError("empty_box")
    return image.crop((left, top, right, bottom))
