"""The loss of an edit: the caption that the edited model should write, and how far it strays elsewhere.

L_EIC = mean NLL of "c^ Emotion: y^" under W' + 0.5 · CE(head(states), y^), WWW 2026 (arXiv 2602.18016), eq. 6.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from moodarchive.emotions.taxonomy import MIKELS_EIGHT
from moodarchive.language_edit.caption_editor import EditorModel, edit_from, take_factors
from moodarchive.language_edit.captioner import Captioner
from moodarchive.language_edit.prompts import MARK, PLAIN, prompt_of
from train.diffusion.pictures import generator_of_step, rows_of_step
from train.epem.caption_pairs import CaptionPairs
from train.epem.caption_settings import CaptionEditorSettings

_SEEN_AT_ONCE = 16


class CaptionEditLoss:
    """A function of the step alone, but for the editor's running statistics; ``terms`` holds the last one's parts."""

    def __init__(
        self,
        *,
        captioner: Captioner,
        model: EditorModel,
        pairs: CaptionPairs,
        pictures: npt.NDArray[np.float32],
        settings: CaptionEditorSettings,
        own: Sequence[str] | None = None,
    ) -> None:
        """``pictures`` [N, queries, width] are ``see_pictures``'; ``own`` are ``write_captions``' of each, or None."""
        self._own = own
        self._captioner, self._model, self._pairs = captioner, model, pairs
        self._pictures, self._settings = pictures, settings
        self.terms: dict[str, float] = {}

    def __call__(self, step: int) -> Tensor:
        """A scalar: the mean over the step's edits, each of weights of its own."""
        settings, draw = self._settings, generator_of_step(step, self._settings.seed)
        rows = rows_of_step(step, settings.schedule.batch, len(self._pairs), settings.seed)
        losses, terms = [], []
        for row in rows:
            # other pictures, where there are some: what an edit must leave alone
            apart = torch.randint(max(1, len(self._pairs) - 1), (settings.locality_rows,), generator=draw)
            loss, of_row = self._of_row(row, [(row + 1 + int(step)) % len(self._pairs) for step in apart])
            losses.append(loss)
            terms.append(of_row)
        self.terms = {name: sum(one[name] for one in terms) / len(terms) for name in terms[0]}
        return torch.stack(losses).mean()

    def _of_row(self, row: int, others: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        captioner, settings, request = self._captioner, self._settings, self._pairs.request(row)
        picture = self._picture(row)
        prompt = captioner.ids(prompt_of(request), begins=True)
        emotion = [*captioner.ids(MARK), *captioner.ids(f" {request.target_emotion}")]
        answer = [*captioner.ids(f" {self._pairs.edited_caption(row)}"), *emotion, captioner.end]
        inner = emotion if settings.inner == "emotion" else answer
        edited = edit_from(
            captioner, self._model, take_factors(captioner, picture, prompt, inner, self._model.config.layers)
        )
        states = captioner.answer_states(picture, prompt, answer, edited)
        wanted = torch.tensor(answer, device=states.device)
        caption = nn.functional.cross_entropy(captioner.logits(states).float(), wanted)
        named = torch.tensor(MIKELS_EIGHT.index(request.target_emotion), device=states.device)
        feeling = nn.functional.cross_entropy(self._model.head(states.float().mean(0)), named)
        with torch.set_grad_enabled(settings.locality_weight > 0):
            strayed = self._strayed(others, edited)
        loss = caption + settings.emotion_weight * feeling
        if settings.locality_weight > 0:
            loss = loss + settings.locality_weight * strayed
        parts = {"caption": caption, "emotion": feeling, "locality": strayed}
        return loss, {name: float(part.detach()) for name, part in parts.items()}

    def _strayed(self, rows: Sequence[int], edited: dict[str, Tensor]) -> Tensor:
        """KL(unedited || edited) of the next token along other pictures' captions, a mean over their tokens."""
        captioner = self._captioner
        prompt = captioner.ids(PLAIN, begins=True)
        captions = [self._pairs.request(row).caption if self._own is None else self._own[row] for row in rows]
        answers = [[*captioner.ids(f" {caption}"), captioner.end] for caption in captions]
        embeds = [
            captioner.embed(self._picture(row), [*prompt, *answer])[0]
            for row, answer in zip(rows, answers, strict=True)
        ]
        padded = nn.utils.rnn.pad_sequence(embeds, batch_first=True)
        ends = torch.tensor([len(each) for each in embeds], device=padded.device)
        mask = (torch.arange(padded.shape[1], device=padded.device) < ends[:, None]).long()

        def predict(weights: dict[str, Tensor] | None) -> Tensor:
            states = captioner.states(padded, weights, attention_mask=mask, use_cache=False).last_hidden_state
            of_answers = [
                states[number, len(each) - len(answer) - 1 : len(each) - 1]
                for number, (each, answer) in enumerate(zip(embeds, answers, strict=True))
            ]
            return captioner.logits(torch.cat(of_answers)).float().log_softmax(-1)

        with torch.no_grad():
            before = predict(None)
        return nn.functional.kl_div(predict(edited), before, log_target=True, reduction="batchmean")

    def _picture(self, row: int) -> Tensor:
        return torch.from_numpy(np.array(self._pictures[row])).to(self._captioner.device)


@torch.no_grad()
def write_captions(
    captioner: Captioner, pictures: npt.NDArray[np.float32], identity: str, cache: Path
) -> Sequence[str]:
    """What the unedited model writes of each picture; kept in ``cache``. Batches are fixed, and so are the bits."""
    path = cache / "captions.json"
    if path.is_file() and (kept := json.loads(path.read_text()))["identity"] == identity:
        return list(kept["captions"])
    captions: list[str] = []
    for first in range(0, len(pictures), _SEEN_AT_ONCE):
        seen = torch.from_numpy(np.array(pictures[first : first + _SEEN_AT_ONCE])).to(captioner.device)
        captions += captioner.write_each(seen, PLAIN)
    path.write_text(json.dumps({"identity": identity, "captions": captions}))
    return captions


def see_pictures(captioner: Captioner, pairs: CaptionPairs, identity: str, cache: Path) -> npt.NDArray[np.float32]:
    """float32 [N, queries, width]: what the language model is given of each picture; kept in ``cache``.

    A cache of another ``identity`` is made anew.
    """
    path, mark = cache / "pictures.npy", cache / "pictures.json"
    if not (mark.is_file() and path.is_file() and json.loads(mark.read_text()) == identity):
        cache.mkdir(parents=True, exist_ok=True)
        mark.unlink(missing_ok=True)
        kept: npt.NDArray[np.float32] | None = None
        for first in range(0, len(pairs), _SEEN_AT_ONCE):
            rows: Sequence[int] = range(first, min(first + _SEEN_AT_ONCE, len(pairs)))
            states = captioner.see([pairs.image(row) for row in rows]).float().cpu().numpy()
            if kept is None:
                open_memmap: Any = np.lib.format.open_memmap
                kept = open_memmap(path, mode="w+", dtype=np.float32, shape=(len(pairs), *states.shape[1:]))
            kept[first : first + len(rows)] = states
        assert kept is not None
        kept.flush()  # type: ignore[attr-defined]
        mark.write_text(json.dumps(identity))
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
