"""A region from words: a grounded detector finds boxes, a segmenter cuts out what lies in them (both of transformers).

Optional, beside the boxes of a served model: both folders or hub ids are named by the person.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from editor.edit import Mask
from moodarchive.errors import EditError, MissingWeightsError, ServiceError
from moodarchive.models.hub import cached_folder, download

SEGMENTS = "detector and segmenter"
FILES = {
    "detector": ("config.json", "model.safetensors", "tokenizer_config.json"),
    "segmenter": ("config.json", "model.safetensors"),
}
PREPARES = ("preprocessor_config.json", "processor_config.json")
"""One of them says how pictures are prepared."""
EXAMPLES = {"detector": "IDEA-Research/grounding-dino-tiny", "segmenter": "facebook/sam-vit-base"}
HOLE = 400 / 512**2
"""Holes below this share of the picture are filled; larger ones are part of the thing, as a ring's is."""


@dataclass(kw_only=True)
class TextToMask:
    """Loads both models when the first picture needs them; MissingWeightsError names what is not there."""

    detector: str
    """GroundingDINO in transformers' form: a folder or a hub id."""
    segmenter: str
    """SAM in transformers' form: a folder or a hub id."""
    box_threshold: float = 0.25
    """Boxes of a lower score are none."""
    text_threshold: float = 0.25
    """Words of a lower score are not what a box shows."""
    most_boxes: int = 2
    """The best so many by score."""

    def find(self, image: Image.Image, text: str) -> Mask | None:
        """The union of what the best boxes hold, hard, at the picture's size; None where the words find nothing."""
        boxes = self.boxes(image, text)
        if not len(boxes):
            return None
        union: npt.NDArray[np.bool_] = np.logical_or.reduce(list(self._cut_out(image, boxes)))
        return fill_holes(union) if union.any() else None

    def boxes(self, image: Image.Image, text: str) -> npt.NDArray[np.float32]:
        """[boxes, 4] corners in pixels, the best first."""
        import torch

        processor, model = self._detector
        inputs = processor(images=image, text=f"{text.strip().lower().rstrip('.')}.", return_tensors="pt")
        with torch.inference_mode():
            outputs = model(**inputs.to(model.device))
        (found,) = processor.post_process_grounded_object_detection(
            outputs,
            inputs["input_ids"],
            threshold=self.box_threshold,
            text_threshold=self.text_threshold,
            target_sizes=[(image.height, image.width)],
        )
        corners = found["boxes"].float().cpu().numpy().reshape(-1, 4)
        corners = corners.clip(0, np.array([image.width, image.height] * 2, np.float32))
        best = np.argsort(-found["scores"].float().cpu().numpy(), kind="stable")
        whole = [row for row in best if (corners[row, 2:] - corners[row, :2]).min() >= 1]
        return np.asarray(corners[whole[: self.most_boxes]], np.float32)

    def _cut_out(self, image: Image.Image, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """[boxes, height, width]: one mask a box."""
        import torch

        processor, model = self._segmenter
        inputs = processor(image, input_boxes=[boxes.tolist()], return_tensors="pt").to(model.device)
        with torch.inference_mode():
            outputs = model(**{**inputs}, multimask_output=False)
        (masks,) = processor.image_processor.post_process_masks(
            outputs.pred_masks.cpu(), inputs["original_sizes"].cpu(), inputs["reshaped_input_sizes"].cpu()
        )
        return np.asarray(masks.numpy().reshape(-1, image.height, image.width), bool)

    @cached_property
    def _detector(self) -> tuple[Any, Any]:
        import transformers

        return _load("detector", self.detector, transformers, "GroundingDino", "GroundingDinoForObjectDetection")

    @cached_property
    def _segmenter(self) -> tuple[Any, Any]:
        import transformers

        return _load("segmenter", self.segmenter, transformers, "Sam", "SamModel")


def fill_holes(mask: npt.NDArray[np.bool_]) -> Mask:
    """float32; what is outside and enclosed by the mask is filled where it is smaller than HOLE."""
    count, labels, figures, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    filled = mask.copy()
    border = {*labels[0], *labels[-1], *labels[:, 0], *labels[:, -1]}
    for label in range(1, count):
        if label not in border and figures[label, cv2.CC_STAT_AREA] < HOLE * mask.size:
            filled |= labels == label
    return filled.astype(np.float32)


def _load(what: str, name: str, library: Any, kind: str, model: str) -> tuple[Any, Any]:
    from moodarchive.models.device import choose_device
    from moodarchive.models.torch_compat import import_torchvision_safely

    import_torchvision_safely()
    folder = _folder(what, name)
    try:
        processor = getattr(library, f"{kind}Processor").from_pretrained(folder, local_files_only=True)
        loaded, report = getattr(library, model).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # transformers raises anything from OSError to safetensors' own errors
        raise EditError(f"the {what} in {folder} cannot be read as {model}: {str(error)[:200]}") from error
    if report["missing_keys"]:
        raise EditError(f"the {what} in {folder} lacks {', '.join(sorted(report['missing_keys'])[:3])} …")
    return processor, loaded.to(choose_device()).eval()


def _folder(what: str, name: str) -> Path:
    folder, files = Path(name).expanduser(), FILES[what]
    remedy = (
        f"remedy: a model like {EXAMPLES[what]} (a folder of transformers' files, or a hub id), or leave {what} out"
    )
    if not folder.is_dir():
        if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
            raise MissingWeightsError(f"there is no folder {name} with a {what}; {remedy}")
        patterns = ("*.json", "*.txt", "model.safetensors")  # a tokenizer's files have names of their own
        earlier = cached_folder(name, patterns)
        try:
            folder = earlier if earlier and not _lacking(earlier, files) else download(name, patterns)
        except ServiceError as error:
            raise MissingWeightsError(f"the {what} {name} is not on this machine: {error}; {remedy}") from None
    if lacking := _lacking(folder, files):
        raise MissingWeightsError(f"the {what} {name} lacks {', '.join(lacking)}; {remedy}")
    return folder


def _lacking(folder: Path, files: Sequence[str]) -> list[str]:
    lacking = [file for file in files if not (folder / file).is_file()]
    return lacking if any((folder / file).is_file() for file in PREPARES) else [*lacking, PREPARES[0]]
