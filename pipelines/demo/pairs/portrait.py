"""A portrait in a mood: who it is belongs to the place, how the person looks to the mood."""

from dataclasses import dataclass

from pipelines.demo.pairs.generators import Generators
from pipelines.demo.pairs.moods import Mood
from pipelines.demo.scenes.canvas import Canvas
from pipelines.demo.scenes.expressions import draw_brows, draw_eyes, draw_flush, draw_mouth
from pipelines.demo.scenes.faces import (
    BACKGROUNDS,
    EXTRAS_BEHIND,
    EXTRAS_IN_FRONT,
    FACE_WORDS,
    STIMULI,
    draw_rays,
)
from pipelines.demo.scenes.palette import (
    BRIGHT_COLOURS,
    DULL_COLOURS,
    HAIR_COLOURS,
    PASTEL_COLOURS,
    SKIN_TONES,
    WHITE,
    Colour,
    darken,
    jitter,
    mix,
)
from pipelines.demo.scenes.pen import Pen
from pipelines.demo.scenes.people import (
    COVERED_STYLES,
    HAIR_STYLES,
    IRIS_COLOURS,
    draw_glasses,
    draw_hair_above,
    draw_hair_behind,
    draw_shoulders,
    draw_skull,
)

_HAIR_NAMES = ("black", "dark brown", "brown", "light brown", "blond", "red", "grey")
_RAYS: dict[str, Colour] = {"joy": (255, 255, 200, 60), "surprise": (255, 255, 200, 60), "anger": (230, 60, 20, 70)}


@dataclass(frozen=True, kw_only=True)
class _Person:
    x: float
    y: float
    scale: float
    angle: float
    width: float
    skin: Colour
    style: str
    hair: Colour
    hair_name: str
    clothes: Colour
    iris: Colour
    glasses: bool


def _person(place: Generators) -> _Person:
    pose, looks = place.of("pose"), place.of("person")
    hair = looks.randrange(len(HAIR_COLOURS))
    return _Person(
        x=pose.uniform(0.38, 0.62),
        y=pose.uniform(0.44, 0.54),
        scale=pose.uniform(0.31, 0.38),
        angle=pose.uniform(-12, 12),
        width=looks.uniform(0.74, 0.84),
        skin=jitter(looks, looks.choice(SKIN_TONES), 6),
        style=looks.choice(HAIR_STYLES),
        hair=jitter(looks, HAIR_COLOURS[hair], 8),
        hair_name=_HAIR_NAMES[hair],
        clothes=jitter(looks, looks.choice((*BRIGHT_COLOURS, *PASTEL_COLOURS, *DULL_COLOURS))),
        iris=looks.choice(IRIS_COLOURS),
        glasses=looks.random() < 0.16,
    )


def paint_portrait(canvas: Canvas, place: Generators, mood: Mood) -> None:
    """Paint a person of the place in the mood, with the mood's wall, light and extras."""
    person, numbers = _person(place), mood.generators("face")
    walls = [numbers.of("wall").choice(BACKGROUNDS[emotion]) for emotion in mood.emotions]
    canvas.gradient([mix(walls[0][end], walls[-1][end], 0.5) for end in (0, 1)])
    _paint_wall_form(canvas, place, mix(walls[0][1], walls[-1][0], 0.35))
    head = canvas.pen(person.x * canvas.width, person.y * canvas.height, person.scale, person.angle)
    for emotion in mood.emotions:
        if emotion in _RAYS:
            draw_rays(canvas, numbers.of("rays"), *head.place(0, 0), _RAYS[emotion])
        if emotion in EXTRAS_BEHIND:
            EXTRAS_BEHIND[emotion](canvas, numbers.of("behind"), [head])
    _paint_person(head, place, person, mood)
    for emotion in mood.emotions:
        if emotion in EXTRAS_IN_FRONT:
            EXTRAS_IN_FRONT[emotion](canvas, numbers.of("before"), [head])


def paint_face_region(canvas: Canvas, place: Generators) -> None:
    """Paint the face's skin white, where a mood of the face alone acts."""
    person = _person(place)
    head = canvas.pen(person.x * canvas.width, person.y * canvas.height, person.scale, person.angle)
    for side in (-1, 1):
        head.oval(side * person.width, 0.02, 0.12, 0.2, WHITE)
    head.oval(0, 0, person.width, 1.0, WHITE)
    head.oval(0, 0.3, person.width * 0.88, 0.7, WHITE)


def portrait_content(place: Generators) -> str:
    """Who is drawn, without a word on the mood."""
    person = _person(place)
    if person.style == "bald":
        who = "a bald person"
    elif person.style in COVERED_STYLES:
        who = f"a person in a {person.style}"
    else:
        kind = "hair in a bun" if person.style == "bun" else f"{person.style} hair"
        who = f"a person with {person.hair_name} {kind}"
    return f"a portrait of {who}" + (" and glasses" if person.glasses else "")


def face_words(mood: Mood) -> str:
    """What the face alone shows, as a clause."""
    return ", half ".join(FACE_WORDS[emotion] for emotion in mood.emotions)


def portrait_words(mood: Mood) -> str:
    """What the mood shows, as a clause."""
    return ", half ".join(f"{FACE_WORDS[emotion]}, with {STIMULI[emotion][2]}" for emotion in mood.emotions)


def portrait_stimuli(mood: Mood) -> tuple[str, str, str]:
    """The three things that carry the emotion."""
    first, last = STIMULI[mood.emotion], STIMULI[mood.emotions[-1]]
    return first[0], last[1], first[2]


def _paint_wall_form(canvas: Canvas, place: Generators, shade: Colour) -> None:
    """Paint one large shape on the wall: its form is the place's, its colour the mood's."""
    form, pen = place.of("wall"), canvas.pen()
    if form.random() < 0.5:
        edge, lean = form.uniform(0.15, 0.85), form.uniform(-0.4, 0.4)
        far = form.choice((-1.0, 2.0))
        pen.shape([(edge, 0), (edge + lean, canvas.height), (far, canvas.height), (far, 0)], shade)
    else:
        level = form.uniform(0.35, 0.8)
        pen.shape([(0, level), (canvas.width, level + form.uniform(-0.2, 0.2)), (canvas.width, 9), (0, 9)], shade)


def _paint_person(head: Pen, place: Generators, person: _Person, mood: Mood) -> None:
    expression = mood.expression()
    skin = mix(person.skin, *expression.tint)
    covering = darken(person.clothes, 0.2) if person.style in COVERED_STYLES else person.hair
    draw_hair_behind(head, person.style, covering)
    draw_shoulders(head, person.clothes, darken(person.clothes, 0.18))
    draw_skull(head, skin, person.width)
    draw_flush(head, expression)
    draw_eyes(head, expression, person.iris, skin)
    draw_brows(head, expression, darken(person.hair, 0.25 if sum(person.hair) < 420 else 0.45))
    draw_mouth(head, mood.generators("face").of("mouth"), expression)
    draw_hair_above(head, place.of("hair"), person.style, covering, person.width)
    if person.glasses:
        draw_glasses(head, (40, 36, 40))
