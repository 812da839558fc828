"""From a picture, an emotion and what a person gives to a prompt and a region, each with where it came from."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from editor.edit import Mask
from editor.planning.faces import face_boxes
from editor.planning.lexicon import LexiconPlanner, prompt_of
from editor.planning.regions import Box, box_mask
from editor.planning.segments import SEGMENTS, TextToMask
from editor.planning.served import ServedPlanner
from moodarchive.emotions.taxonomy import EMOTIONS, TARGETS
from moodarchive.errors import EditError, RowError

SERVED, OWN, FACES, PERSON, NOBODY = "served model", "lexicon and MoodifyCLIP", "face detector", "given", "none"
LONGEST_PROMPT = 2_000
_NEGATING = ("un", "in", "im", "ir", "dis", "non", "anti", "mis")
_FACIAL = re.compile(
    r"\b(faces?|facial|heads?|smiles?|expressions?|portraits?|persons?|people|m[ae]n|wom[ae]n|boys?|girls?|child|children"
    r"|bab(?:y|ies)|couple|bride|groom|eyes?|mouths?|lips)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class EditRequest:
    """What a person wants; what is left empty is found out.

    ``whole`` lets all of the picture change, ``plain`` takes the emotion's name alone as prompt: with each of them the
    rows of the paper's ablation (table 5) are told apart.
    """

    emotion: str
    prompt: str = ""
    instruction: str = ""
    """What epem is asked for, in a sentence that names the emotion; empty: written from the emotion."""
    mask: Mask | None = None
    boxes: tuple[Box, ...] = ()
    whole: bool = False
    plain: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.emotion not in TARGETS:
            near = misspelt_emotion(self.emotion)
            hint = f"; did you mean {near!r}?" if near else "."
            raise EditError(f"{self.emotion!r} is no emotion{hint} Legal: {', '.join(TARGETS)}")
        if self.prompt and not self.prompt.strip():
            raise EditError("the prompt is blank; remedy: leave it out, and one is found, or say what the edit shows")
        if self.prompt and self.plain:
            raise EditError("a prompt and --plain-prompt exclude each other")
        if self.whole and (self.mask is not None or self.boxes):
            raise EditError("--whole and a mask or box exclude each other")
        if self.mask is not None and self.boxes:
            raise EditError("a mask and boxes exclude each other; remedy: paint the boxes into the mask")
        if self.mask is not None and not self.mask.any():
            raise EditError("the mask is empty: nothing could change; remedy: paint white what may")
        if len(self.prompt) > LONGEST_PROMPT or not self.prompt.isprintable():
            raise EditError(f"a prompt is one line of at most {LONGEST_PROMPT:,} printable letters")
        if len(self.instruction) > LONGEST_PROMPT or not self.instruction.isprintable():
            raise EditError(f"an instruction is one line of at most {LONGEST_PROMPT:,} printable letters")

    @property
    def region_given(self) -> bool:
        """A mask, boxes or everything."""
        return self.whole or self.mask is not None or bool(self.boxes)


def misspelt_emotion(word: str) -> str:
    """The emotion that a word is a misspelling of; empty where it may as well be another word, or the opposite.

    A misspelling differs by one letter in four at most, adjacent letters exchanged counting as one. A word that a
    negating prefix sets apart from an emotion (uncaring, ingratitude) is its opposite.
    """
    from rapidfuzz.distance import OSA

    typed = word.strip().casefold().replace(" ", "_")
    near = [(OSA.distance(typed, emotion), emotion) for emotion in EMOTIONS]
    close = [(distance, emotion) for distance, emotion in near if distance <= max(1, len(emotion) // 4)]
    if not close:
        return ""
    distance, emotion = min(close)
    negated = any(
        typed.startswith(prefix) and OSA.distance(typed.removeprefix(prefix), emotion) < distance
        for prefix in _NEGATING
    )
    return "" if negated else emotion


@dataclass(frozen=True, kw_only=True)
class EditPlan:
    """``mask`` is None where everything may change; ``notes`` tell what went otherwise than asked."""

    prompt: str
    mask: Mask | None
    target_object: str
    prompt_by: str
    region_by: str
    instruction: str = ""
    """Of epem alone."""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    """What finding all this took."""


@dataclass(frozen=True, kw_only=True)
class _Findings:
    prompt: str
    mask: Mask | None
    target_object: str
    by: str
    region_by: str
    facial: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Asks the served model if there is one, else MoodifyCLIP; with neither, the emotion's name is the prompt."""

    served: ServedPlanner | None = None
    lexicon: Callable[[], LexiconPlanner] | None = None
    """Loads MoodifyCLIP, when it is needed and no sooner."""
    segments: TextToMask | None = None
    """Cuts out the thing that shall change, where its name is known."""

    def plan(self, image: Image.Image, request: EditRequest) -> EditPlan:
        """What the person gives is taken as it is, and nobody is asked where nothing is left to find out.

        Pictures with a face get the face as their fixed region. ServiceError when the server does not answer; answers
        that break the rules again and again are told in the notes, and MoodifyCLIP finds what they should have said.
        """
        prompt, prompt_by = request.prompt, PERSON
        if request.plain:
            prompt = prompt_of(request.emotion, ())
        mask = (
            request.mask if request.mask is not None else box_mask(request.boxes, image.size) if request.boxes else None
        )
        region_by, target = PERSON, ""
        notes: tuple[str, ...] = ()
        if not prompt or not request.region_given:
            findings = self._find(image, request)
            target, notes = findings.target_object, findings.notes
            if not prompt:
                prompt, prompt_by = findings.prompt, findings.by
            if not request.region_given:
                mask, region_by = findings.mask, findings.region_by
                cut = self.segments.find(image, target) if self.segments and target else None
                if cut is not None:
                    mask, region_by = cut, SEGMENTS
                elif findings.facial and (faces := face_boxes(image)):
                    mask, region_by = box_mask(faces, image.size), FACES
                if self.segments and cut is None:
                    notes = (*notes, f"detector and segmenter found nothing called {target!r}")
        return EditPlan(
            prompt=prompt, mask=mask, target_object=target, prompt_by=prompt_by, region_by=region_by, notes=notes
        )

    def _find(self, image: Image.Image, request: EditRequest) -> _Findings:
        notes: tuple[str, ...] = ()
        if self.served is not None:
            try:
                plan = self.served.plan(image, request.emotion, request.seed)
            except RowError as error:
                notes = (f"the served model gave no usable answer in {self.served.attempts} ({error.kind}: {error})",)
            else:
                return _Findings(
                    prompt=plan.prompt,
                    mask=box_mask(plan.boxes, image.size),
                    target_object=plan.target_object,
                    by=SERVED,
                    region_by=SERVED,
                    facial=bool(_FACIAL.search(plan.target_object)),
                )
        if self.lexicon is None:
            note = "without a server and MoodifyCLIP the emotion's name is the prompt, and only faces are a region"
            return _Findings(
                prompt=prompt_of(request.emotion, ()),
                mask=None,
                target_object="",
                by=NOBODY,
                region_by=NOBODY,
                facial=True,
                notes=(*notes, note),
            )
        reading = self.lexicon().read(image, request.emotion)
        return _Findings(
            prompt=prompt_of(request.emotion, reading.phrases),
            mask=reading.mask,
            target_object=reading.phrases[0],
            by=OWN,
            region_by=OWN,
            facial=reading.context == "facial_expressions",
            notes=(*notes, "the lexicon and MoodifyCLIP found prompt and region") if notes else (),
        )
