"""The one way from a file's bytes to sRGB pixels; limits on pixels are the caller's, and come between the steps."""

import io
from dataclasses import dataclass

from PIL import Image

from moodarchive.images.colour import MOST_PROFILE_BYTES, Conversion, find_conversion
from moodarchive.images.png import SIGNATURE, PngColour, read_png
from moodarchive.images.samples import load_samples, to_eight_bits

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")

# the pixel limits are the callers', read from the header; Pillow's own would only warn
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class OpenedImage:
    """A file whose header was read; nothing is decoded yet."""

    image: Image.Image
    served: bytes
    png: PngColour | None = None

    def conversion(self, mode: str) -> Conversion | None:
        """What pixels in ``mode`` (L, RGB, CMYK, LAB, with or without A) need to become sRGB; None for nothing."""
        return find_conversion(self.image, self.served, self.png, mode.removesuffix("A") if mode != "LA" else "L")

    def load(self) -> Image.Image:
        """The pixels in eight bits, as the file has them: L, LA, RGB, RGBA, CMYK or LAB. Raises what Pillow raises."""
        load_samples(self.image)
        return to_eight_bits(self.image)

    def to_srgb(self, pixels: Image.Image) -> Image.Image:
        """``pixels`` (of ``load``, at any size) as RGB in sRGB, transparency over white."""
        return to_srgb(pixels, self.conversion(pixels.mode))


def open_image(served: bytes) -> OpenedImage:
    """Reads the header of a picture in FORMATS. Raises what Pillow raises."""
    if not served.startswith(SIGNATURE):
        return OpenedImage(Image.open(io.BytesIO(served), formats=FORMATS), served)
    plain, colour = read_png(served, MOST_PROFILE_BYTES)
    return OpenedImage(Image.open(io.BytesIO(plain), formats=FORMATS), served, colour)


def to_srgb(pixels: Image.Image, conversion: Conversion | None) -> Image.Image:
    """L, LA, RGB, RGBA, CMYK or LAB as RGB in sRGB; what is transparent becomes white, which is sRGB's."""
    alpha = pixels.getchannel("A") if pixels.mode in ("LA", "RGBA") else None
    if alpha is not None:
        pixels = pixels.convert(pixels.mode.removesuffix("A"))
    rgb = conversion.apply(pixels) if conversion else pixels.convert("RGB")
    if alpha is None:
        return rgb
    return Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)
