"""What an edit changed: PSNR, MSE and SSIM of both frames multiplied by (1 - mask), and SSIM of the whole picture."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar

from editor.evaluation.frames import Frames
from editor.evaluation.measure import Column, Values, device, imports


def background(frames: Frames) -> tuple[Any, Any] | None:
    """The edit and its source [1, 3, H, W] in [0, 1], black inside the region; None without a mask or a background."""
    import torch

    if frames.mask is None or not (1 - frames.mask).any():
        return None
    outside = 1 - torch.from_numpy(frames.mask).to(device())
    edited, source = ((pixels * outside).contiguous() for pixels in whole(frames))
    return edited, source


def whole(frames: Frames) -> tuple[Any, Any]:
    """The edit and its source [1, 3, H, W] in [0, 1]."""
    import torch

    where = device()
    both = (torch.from_numpy(pixels).to(where).permute(2, 0, 1)[None] for pixels in (frames.edited, frames.source))
    edited, source = (pixels.float() / 255 for pixels in both)
    return edited, source


@dataclass(eq=False)
class Background:
    """torchmetrics' figures over all pixels, those inside the region being equal by the multiplication.

    PSNR is infinite where the background is equal to the last bit.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="psnr", title="Background PSNR", short="PSNR", better="higher"),
        Column(name="mse", title="Background MSE ×10⁴", short="MSE ×10⁴", better="lower", scale=1e4, decimals=1),
        Column(name="ssim", title="Background SSIM ×10²", short="SSIM ×10²", better="higher", scale=1e2, decimals=1),
    )

    def load(self) -> str:
        """No weights; the definitions are those of the version of torchmetrics."""
        imports()
        return f"background 1, torchmetrics {version('torchmetrics')}"

    def of(self, frames: Frames) -> Values:
        """All three, or none where there is no background."""
        from torchmetrics.functional import mean_squared_error
        from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

        pixels = background(frames)
        if pixels is None:
            return None, None, None
        edited, source = pixels
        return (
            float(peak_signal_noise_ratio(edited, source, data_range=1.0)),
            float(mean_squared_error(edited, source)),
            float(structural_similarity_index_measure(edited, source, data_range=1.0)),  # type: ignore[arg-type]
        )


@dataclass(eq=False)
class Likeness:
    """SSIM of source and edit as they are, as EPEM's tables have it."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            name="ssim_whole", title="SSIM ×10², whole picture", short="SSIM ×10², whole", better="higher", scale=1e2
        ),
    )

    def load(self) -> str:
        """No weights; the definition is that of the version of torchmetrics."""
        imports()
        return f"likeness 1, torchmetrics {version('torchmetrics')}"

    def of(self, frames: Frames) -> Values:
        """One value."""
        from torchmetrics.functional.image import structural_similarity_index_measure

        edited, source = (pixels.contiguous() for pixels in whole(frames))
        return (float(structural_similarity_index_measure(edited, source, data_range=1.0)),)  # type: ignore[arg-type]
