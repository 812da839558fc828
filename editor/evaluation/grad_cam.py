"""Grad-CAM (Selvaraju et al. 2017): where a convolutional classifier looks for the class that it predicts."""

from typing import Any

import numpy as np
import numpy.typing as npt

from moodarchive.errors import EditError

Heat = npt.NDArray[np.float32]


def logits_and_heat(network: Any, pixels: Any) -> tuple[Any, Heat]:
    """Logits [classes] and the heat [H, W] in [0, 1] of the predicted class; ``pixels`` is [1, 3, H, W].

    The last feature map's channels, weighted by the means of the class's gradient, summed, negatives cut; stretched to
    [0, 1] before and after it is enlarged to the picture (bilinear). EditError for a classifier without feature maps.
    """
    import torch

    with torch.enable_grad():
        outputs = network(pixel_values=pixels, output_hidden_states=True)
        maps = outputs.hidden_states[-1]
        if maps.ndim != 4:
            raise EditError(
                f"{type(network).__name__} has no feature maps of [channels, height, width]; remedy: a convolutional "
                "classifier, such as a ResNet"
            )
        logits = outputs.logits[0]
        (slope,) = torch.autograd.grad(logits[logits.argmax()], maps)
    heat = cam(maps.detach()[0].float().cpu().numpy(), slope[0].float().cpu().numpy(), pixels.shape[2:])
    return logits.detach(), heat


def cam(maps: npt.NDArray[np.float32], slope: npt.NDArray[np.float32], size: tuple[int, int]) -> Heat:
    """The heat at ``size`` (height, width) of feature maps and the class's gradient, both [channels, h, w]."""
    import cv2

    heat = np.maximum((slope.mean(axis=(1, 2), keepdims=True) * maps).sum(axis=0), 0)
    large = cv2.resize(_stretch(heat), (int(size[1]), int(size[0])), interpolation=cv2.INTER_LINEAR)
    return _stretch(np.asarray(large, np.float32))


def _stretch(heat: Heat) -> Heat:
    heat = heat - heat.min()
    return np.asarray(heat / (np.float32(1e-7) + heat.max()), np.float32)
