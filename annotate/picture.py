"""The pictures that are sent to the model: each in the size wanted, and a plain one that no sound server turns down."""

import io
from dataclasses import replace

from PIL import Image

from moodarchive.chat.client import ChatRequest
from moodarchive.errors import RowError

_QUALITY = 90
_PLAIN_SIZE = (336, 336)


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


def ask_about_plain_picture(request: ChatRequest) -> ChatRequest:
    """The same question about a gradient of greys."""
    held = io.BytesIO()
    Image.linear_gradient("L").resize(_PLAIN_SIZE).convert("RGB").save(held, "JPEG")
    messages = [replace(message, jpeg=held.getvalue()) if message.jpeg else message for message in request.messages]
    return replace(request, messages=tuple(messages))
