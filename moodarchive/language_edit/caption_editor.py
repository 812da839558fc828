"""Edits a captioner for one sample, lets it write the caption of the wanted emotion, and leaves its weights alone."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.errors import EditError
from moodarchive.language_edit.captioner import LAYERS, MOST_TOKENS, Captioner, open_captioner, require_editable
from moodarchive.language_edit.factors import Factors, shapes_of, tap_layers
from moodarchive.language_edit.gradient_editor import RANK, STEP, GradientEditor
from moodarchive.language_edit.prompts import (
    MARK,
    PLAIN,
    CaptionRequest,
    EditedCaption,
    prompt_of,
    require_emotions,
)

CONFIG, WEIGHTS, CAPTIONER = "language_editor.json", "language_editor.safetensors", "captioner"
_REMEDY = "remedy: the model/ folder that moodarchive train writes for kind = 'epem-captions'"


@dataclass(frozen=True, kw_only=True)
class EditorConfig:
    """The shape of what is trained."""

    layers: int = LAYERS
    """Decoder layers whose fc1 and fc2 are edited, the last ones."""
    rank: int = RANK
    step: float = STEP
    """Where the learned steps began."""


class EditorModel(nn.Module):
    """All that is trained: the gradient's editor, and the head that reads the emotion off an answer's states."""

    def __init__(self, captioner: Captioner, config: EditorConfig) -> None:
        super().__init__()
        self.config = config
        names = captioner.weight_names(config.layers)
        self.editor = GradientEditor(shapes_of(captioner.body, names), config.rank, config.step)
        self.head = nn.Linear(captioner.width, len(MIKELS_EIGHT))


def take_factors(
    captioner: Captioner, picture: Tensor, prompt: Sequence[int], answer: Sequence[int], layers: int
) -> dict[str, Factors]:
    """Factors of the gradient of the mean loss of ``answer``, by weight; ``picture`` [queries, width]."""
    names = captioner.weight_names(layers)
    captioner.require_room(len(picture) + len(prompt) + len(answer))
    with torch.enable_grad(), tap_layers(captioner.body, names) as tapped:
        logits = captioner.logits(captioner.answer_states(picture, prompt, answer))
        wanted = torch.tensor(list(answer), device=logits.device)
        return tapped.factors(nn.functional.cross_entropy(logits.float(), wanted))


def edit_weights(
    captioner: Captioner, model: EditorModel, picture: Tensor, request: CaptionRequest
) -> dict[str, Tensor]:
    """The weights under which the request is answered; the captioner's own stay.

    What is edited in is all that an instruction says: the wanted emotion, not the caption.
    """
    prompt = captioner.ids(prompt_of(request), begins=True)
    answer = [*captioner.ids(MARK), *captioner.ids(f" {request.target_emotion}")]
    factors = take_factors(captioner, picture, prompt, answer, model.config.layers)
    return edit_from(captioner, model, factors)


def edit_from(captioner: Captioner, model: EditorModel, factors: dict[str, Factors]) -> dict[str, Tensor]:
    """The edited weights of factors."""
    weights = {name: captioner.body.get_parameter(name) for name in factors}
    edited: dict[str, Tensor] = model.editor(weights, factors)
    return edited


class CaptionEditor:
    """Writes captions of other emotions by a captioner that is edited for each, and only for it."""

    def __init__(self, captioner: Captioner, model: EditorModel) -> None:
        self.captioner = captioner
        self.model = model.eval()

    def describe(self, image: Image.Image) -> str:
        """The caption that the unedited captioner writes of a picture."""
        return self.captioner.write(self.captioner.see([image])[0], PLAIN)

    def edit_caption(
        self, image: Image.Image, caption: str, emotion: str, instruction: str, target_emotion: str
    ) -> EditedCaption:
        """The caption as it evokes ``target_emotion``; an empty ``caption`` is written first.

        EditError for an emotion that is none of Mikels' eight, and where the model writes no word.
        """
        request = CaptionRequest(
            caption=caption, emotion=emotion, instruction=instruction, target_emotion=target_emotion
        )
        require_emotions(request)
        return self._edit(image, request)

    def edit_captions(self, images: Sequence[Image.Image], requests: Sequence[CaptionRequest]) -> list[EditedCaption]:
        """Each as ``edit_caption`` does: an edit is one sample's, so that none changes another's."""
        for request in requests:
            require_emotions(request)
        return [self._edit(image, request) for image, request in zip(images, requests, strict=True)]

    @torch.no_grad()
    def _edit(self, image: Image.Image, request: CaptionRequest) -> EditedCaption:
        picture = self.captioner.see([image])[0]
        if not request.caption.strip():
            written = self.captioner.write(picture, PLAIN)
            request = CaptionRequest(**{**asdict(request), "caption": written})
        weights = edit_weights(self.captioner, self.model, picture, request)
        text = self.captioner.write(picture, prompt_of(request), weights=weights, stop=MARK, most=MOST_TOKENS)
        if not text:
            raise EditError(
                f"the edited model wrote no caption for {request.target_emotion}; remedy: a caption editor that has "
                "been trained, or another instruction"
            )
        return EditedCaption(text=text, emotion=request.target_emotion)


def open_caption_editor(folder: Path, device: Any = "cpu") -> CaptionEditor:
    """The folder that training writes; EditError for another, before the language model is loaded."""
    from safetensors.torch import load_file

    try:
        config = EditorConfig(**json.loads((folder / CONFIG).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise EditError(f"{folder} holds no caption editor: {str(error)[:200]}; {_REMEDY}") from None
    require_editable(folder / CAPTIONER, config.layers)
    try:
        weights = load_file(folder / WEIGHTS)
    except Exception as error:  # a missing file, or safetensors' own errors
        raise EditError(f"{folder / WEIGHTS} cannot be read: {str(error)[:200]}; {_REMEDY}") from error
    captioner = open_captioner(folder / CAPTIONER, device, config.layers)
    with torch.random.fork_rng(devices=[]):
        model = EditorModel(captioner, config)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise EditError(
            f"the caption editor in {folder} was made for another language model: {str(error)[:200]}; {_REMEDY}"
        ) from None
    return CaptionEditor(captioner, model.to(device).requires_grad_(False))


def save_caption_editor(folder: Path, model: EditorModel, captioner: Path) -> None:
    """Writes what is trained, and beside it a copy of the captioner's files."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(asdict(model.config), indent=1, sort_keys=True) + "\n")
    if captioner.resolve() != (folder / CAPTIONER).resolve():
        shutil.rmtree(folder / CAPTIONER, ignore_errors=True)
        shutil.copytree(captioner, folder / CAPTIONER)
