"""What a worker is asked about one picture, and when a caption counts as accepted (Moodifier, section 3.1)."""

from dataclasses import dataclass

GENERATED, ORIGINAL, NEITHER = "generated", "original", "neither"
CHOICES = (GENERATED, ORIGINAL, NEITHER)
"""Which text describes the picture better: the model's caption, the web's alt-text, or neither."""

COMPONENTS = ("summary", "stimulus_1", "stimulus_2", "stimulus_3", "assessment")
"""The caption's five sentences, each accurate or not."""

REASONS = {
    "word_choice": "word choice",
    "wrong_emotion": "wrong emotion",
    "over_dramatic": "over-dramatic",
    "cultural_mismatch": "cultural mismatch",
    "other": "other",
}
"""Why a caption is not accepted: the paper's four kinds, and a way out."""

MOST_COMMENT = 500
"""Characters of free text that are kept."""

PAPER_RATE = 0.85
"""The share of captions that the paper's workers preferred (10,000 images, Amazon Mechanical Turk)."""

Five = tuple[bool, bool, bool, bool, bool]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One worker's answer about one picture."""

    choice: str
    accurate: Five
    reason: str = ""
    comment: str = ""

    @property
    def accepted(self) -> bool:
        """Preferred, and all five sentences accurate."""
        return self.choice == GENERATED and all(self.accurate)


def judgement_problem(choice: object, accurate: object, reason: object, comment: object) -> str | None:
    """What makes an answer from outside unusable; None when it is sound."""
    if choice not in CHOICES:
        return "choice"
    if not isinstance(accurate, list | tuple) or len(accurate) != len(COMPONENTS):
        return "components"
    if not all(isinstance(one, bool) for one in accurate):
        return "components"
    accepted = choice == GENERATED and all(accurate)
    if (reason not in REASONS and reason != "") or (reason == "" and not accepted):
        return "reason"
    return None if isinstance(comment, str) else "comment"
