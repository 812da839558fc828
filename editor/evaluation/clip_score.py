"""CLIP score (Hessel et al. 2021): how well the edited picture fits a text, by OpenAI's ViT-L/14."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from editor.evaluation.frames import Frames, Pixels
from editor.evaluation.measure import Column, Values, Weights, device, imports, loaded, weights_digest
from moodarchive.emotions.taxonomy import words

CLIP = "openai/clip-vit-large-patch14"
WEIGHTS = Weights(
    what="OpenAI's CLIP ViT-L/14, for the CLIP score",
    licence="MIT",
    size="1.7 GB",
    get=f"--clip with the hub id {CLIP} on a machine with internet, or a folder that holds a copy of it",
)


@dataclass(eq=False)
class ClipScore:
    """max(100 cos, 0) of the edited picture with the emotion's word, with the prompt and with the true edit.

    The two last where there are such.

    Longer prompts than CLIP's 77 tokens are cut, their end mark kept.
    """

    model: str = CLIP
    columns: ClassVar[tuple[Column, ...]] = (
        Column(name="clip", title="CLIP score, emotion", short="CLIP", better="higher"),
        Column(name="clip_prompt", title="CLIP score, prompt", short="CLIP, prompt", better="higher"),
        Column(name="clip_truth", title="CLIP score, true edit", short="CLIP, true edit", better="higher"),
    )
    _network: Any = field(default=None, repr=False)
    _processor: Any = field(default=None, repr=False)

    def load(self) -> str:
        """Both towers and the processor."""
        torch, _ = imports()
        self._processor = loaded(WEIGHTS, "CLIPProcessor", self.model)
        self._network = loaded(WEIGHTS, "CLIPModel", self.model).to(device(), torch.float32).eval()
        return weights_digest("clip 2", self._network.state_dict())

    def of(self, frames: Frames) -> Values:
        """With the emotion, with the prompt, with the true edit."""
        import torch

        with torch.inference_mode():
            picture = self._picture(frames.edited)
            emotion = _score(picture, self._text(words(frames.emotion)))
            prompt = _score(picture, self._text(frames.prompt)) if frames.prompt else None
            truth = _score(picture, self._picture(frames.truth)) if frames.truth is not None else None
        return emotion, prompt, truth

    def _picture(self, pixels: Pixels) -> Any:
        import torch

        shown = self._processor(images=[torch.from_numpy(pixels).permute(2, 0, 1)], return_tensors="pt")
        return _unit(self._network.get_image_features(**shown.to(self._network.device)))

    def _text(self, text: str) -> Any:
        most = self._network.config.text_config.max_position_embeddings
        # one at a time: padding would change the last bits
        tokens = self._processor(text=[text], return_tensors="pt", truncation=True, max_length=most)
        return _unit(self._network.get_text_features(**tokens.to(self._network.device)))


def _score(one: Any, other: Any) -> float:
    return float((100 * one * other).sum().clamp(min=0))


def _unit(features: Any) -> Any:
    # from version 5 on, transformers gives an object with the projected features as its pooled output
    vectors = getattr(features, "pooler_output", features)
    return vectors / vectors.norm(dim=-1, keepdim=True)
