"""What a mood changes: the set of a face, the sky, its light and weather, the colour that the land takes on."""

from dataclasses import dataclass, replace

from pipelines.demo.pairs.generators import Generators
from pipelines.demo.scenes.expressions import EXPRESSIONS, Expression
from pipelines.demo.scenes.palette import Colour, mix


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a mood looks out of doors."""

    skies: tuple[tuple[Colour, Colour], ...]
    """Upper and lower colour of the sky; the mood's generator chooses."""
    cloud: Colour
    clouds: int
    """How many clouds there are."""
    tint: tuple[Colour, float]
    """The colour that land and houses take on, and how much of it, 0 to 1."""
    leaves: Colour
    lit: Colour
    """Colour of a lit window."""
    lit_share: float
    """Share of the windows that are lit, 0 to 1."""
    words: str
    """A clause that is true of the picture."""
    sky_words: str
    """A clause that is true of the sky alone."""
    stimuli: tuple[str, str, str]


LOOKS: dict[str, Look] = {
    "joy": Look(
        skies=(
            ((70, 160, 240), (196, 232, 255)),
            ((90, 190, 240), (255, 244, 200)),
            ((100, 176, 250), (230, 244, 255)),
        ),
        cloud=(255, 255, 255),
        clouds=2,
        tint=((255, 240, 150), 0.1),
        leaves=(86, 176, 70),
        lit=(255, 250, 214),
        lit_share=0.6,
        words="in bright sunshine under a blue sky with a rainbow, among colourful flowers",
        sky_words="blue and sunny, with a rainbow",
        stimuli=("a warm sun", "a bright rainbow", "colourful flowers"),
    ),
    "anger": Look(
        skies=(((60, 8, 12), (206, 60, 26)), ((36, 10, 14), (170, 30, 20)), ((84, 14, 10), (232, 96, 30))),
        cloud=(34, 24, 26),
        clouds=4,
        tint=((96, 16, 12), 0.5),
        leaves=(150, 44, 20),
        lit=(255, 120, 30),
        lit_share=1.0,
        words="in flames under a dark red sky with black smoke and lightning",
        sky_words="dark red, with black smoke and lightning",
        stimuli=("raging flames", "a dark red sky", "jagged lightning"),
    ),
    "sadness": Look(
        skies=(((92, 104, 120), (150, 158, 168)), ((78, 92, 112), (134, 144, 156)), ((104, 110, 118), (158, 162, 166))),
        cloud=(84, 92, 102),
        clouds=6,
        tint=((104, 116, 132), 0.6),
        leaves=(92, 100, 96),
        lit=(176, 186, 196),
        lit_share=0.0,
        words="in cold rain under grey clouds",
        sky_words="grey, with clouds and rain",
        stimuli=("cold rain", "grey clouds", "a pale, faded land"),
    ),
    "fear": Look(
        skies=(((6, 8, 22), (30, 34, 62)), ((10, 6, 24), (44, 28, 62)), ((4, 12, 20), (22, 46, 56))),
        cloud=(20, 22, 40),
        clouds=2,
        tint=((8, 10, 26), 0.72),
        leaves=(20, 34, 34),
        lit=(236, 220, 90),
        lit_share=0.3,
        words="in a black night under a pale moon, with watching eyes in the dark",
        sky_words="black, with a pale moon",
        stimuli=("a pale moon", "a black night", "watching eyes"),
    ),
    "love": Look(
        skies=(
            ((190, 110, 180), (255, 190, 170)),
            ((240, 130, 170), (255, 214, 180)),
            ((214, 126, 200), (255, 176, 190)),
        ),
        cloud=(255, 206, 214),
        clouds=3,
        tint=((255, 150, 176), 0.32),
        leaves=(244, 150, 184),
        lit=(255, 236, 170),
        lit_share=1.0,
        words="in a pink sunset with blossoms and floating hearts",
        sky_words="pink, with a low sun and hearts",
        stimuli=("a pink sunset", "blossoms", "floating hearts"),
    ),
    "surprise": Look(
        skies=(((50, 20, 110), (40, 150, 190)), ((70, 30, 150), (200, 90, 200)), ((20, 40, 120), (70, 190, 200))),
        cloud=(120, 90, 200),
        clouds=0,
        tint=((80, 90, 210), 0.38),
        leaves=(40, 190, 170),
        lit=(255, 244, 120),
        lit_share=0.8,
        words="under a violet sky full of fireworks and shining stars",
        sky_words="violet, full of fireworks and stars",
        stimuli=("bursting fireworks", "shining stars", "a violet sky"),
    ),
}


@dataclass(frozen=True)
class Mood:
    """An emotion, or two of them mixed half and half; ``seed`` chooses among what both leave open."""

    emotion: str
    seed: int
    second: str = ""

    def __post_init__(self) -> None:
        for emotion in self.emotions:
            if emotion not in LOOKS:
                raise ValueError(f"no mood is drawn for {emotion!r}; moods are {', '.join(LOOKS)}")

    @property
    def emotions(self) -> tuple[str, ...]:
        return (self.emotion, self.second) if self.second else (self.emotion,)

    def generators(self, kind: str) -> Generators:
        return Generators(f"mood/{kind}/{self.seed}/{'+'.join(self.emotions)}")

    def amount(self, count: int) -> int:
        """How much of what a whole mood has ``count`` of each of the emotions brings."""
        return -(-count // len(self.emotions))

    def expression(self) -> Expression:
        """The face: of two emotions the brows halfway, the first one's eyes and the second one's mouth."""
        first = EXPRESSIONS[self.emotion]
        if not self.second:
            return first
        second = EXPRESSIONS[self.second]
        return replace(
            first,
            brow_inner=(first.brow_inner + second.brow_inner) / 2,
            brow_outer=(first.brow_outer + second.brow_outer) / 2,
            brow_width=(first.brow_width + second.brow_width) / 2,
            mouth=second.mouth,
            flush=(mix(first.flush[0], second.flush[0], 0.5), (first.flush[1] + second.flush[1]) // 2),
            tint=(mix(first.tint[0], second.tint[0], 0.5), (first.tint[1] + second.tint[1]) / 2),
        )

    def look(self) -> Look:
        """The world out of doors: of two emotions the colours halfway."""
        first = LOOKS[self.emotion]
        if not self.second:
            return first
        second = LOOKS[self.second]
        return Look(
            skies=tuple(
                (mix(one[0], other[0], 0.5), mix(one[1], other[1], 0.5))
                for one, other in zip(first.skies, second.skies, strict=True)
            ),
            cloud=mix(first.cloud, second.cloud, 0.5),
            clouds=(first.clouds + second.clouds) // 2,
            tint=(mix(first.tint[0], second.tint[0], 0.5), (first.tint[1] + second.tint[1]) / 2),
            leaves=mix(first.leaves, second.leaves, 0.5),
            lit=mix(first.lit, second.lit, 0.5),
            lit_share=(first.lit_share + second.lit_share) / 2,
            words=f"half {first.words}, half {second.words}",
            sky_words=f"half {first.sky_words}, half {second.sky_words}",
            stimuli=(first.stimuli[0], second.stimuli[0], first.stimuli[1]),
        )
