"""Shrinks a picture to the size that is sent to the model."""

import io

from PIL import Image

from moodarchive.errors import RowError

_QUALITY = 90


def shrink_jpeg(jpeg: bytes, longest_side: int) -> bytes:
    """The picture with its longest side at most ``longest_side`` pixels; the same bytes when it is small enough.

    RowError('unreadable_image') when the bytes are no picture.
    """
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
            if max(image.size) <= longest_side:
                return jpeg
            image.draft("RGB", (2 * longest_side, 2 * longest_side))  # decodes fewer pixels where JPEG allows it
            smaller = image.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise RowError("unreadable_image", str(error)) from None
    smaller.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS, reducing_gap=None)
    held = io.BytesIO()
    smaller.save(held, "JPEG", quality=_QUALITY)
    return held.getvalue()
