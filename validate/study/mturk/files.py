"""The files for Amazon Mechanical Turk: a layout, the input CSV, the HIT type and what it will cost."""

import csv
import html
import io
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template

from jinja2 import Environment

from moodarchive.errors import StudyError
from moodarchive.storage.store import Store
from validate.study.design import CAPTIONS, StudyDesign, folder
from validate.study.items import Item
from validate.study.mturk.terms import Terms, cost
from validate.study.order import generated_first
from validate.study.page.caption_questions import training_items
from validate.study.pictures import Pictures
from validate.study.questions import REASONS

MTURK_FOLDER = f"{folder(CAPTIONS)}/mturk"
MOST_BYTES = 65_535
"""What MTurk takes as one question."""
_NAMESPACE = "http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2011-11-11/HTMLQuestion.xsd"
COLUMNS = ("item", "picture_url", "first", "second", "s1", "s2", "s3", "s4", "s5", "creator", "licence")


def asked_items(items: Sequence[Item], pictures: Pictures) -> list[Item]:
    """The items that vendors ask: whose picture is in the archive, worked examples left out."""
    examples = training_items(list(items))
    return [item for item in items if item.item not in examples and item.key in pictures]


def write_mturk(
    store: Store, design: StudyDesign, items: Sequence[Item], pictures: Pictures, *, terms: Terms, pictures_url: str
) -> str:
    """Writes layout.html, question.xml, input.csv, hit-type.json and pictures/; returns the folder.

    layout.html is for the requester's website, which makes the form itself; question.xml for the API.
    """
    rows = [input_row(design, item, pictures_url) for item in items]
    store.write_bytes(f"{MTURK_FOLDER}/layout.html", layout(form=False).encode())
    store.write_bytes(f"{MTURK_FOLDER}/question.xml", _wrapped(layout(form=True)).encode())
    store.write_bytes(f"{MTURK_FOLDER}/input.csv", as_csv(COLUMNS, rows))
    plan = {
        "hit_type": terms.hit_type(live=True),
        "hits": len(rows),
        "assignments": design.workers,
        "cost_usd": str(cost(terms, len(rows), design.workers)),
    }
    store.write_bytes(f"{MTURK_FOLDER}/hit-type.json", (json.dumps(plan, indent=1) + "\n").encode())
    write_pictures(store, MTURK_FOLDER, items, pictures)
    return MTURK_FOLDER


def write_pictures(store: Store, where: str, items: Sequence[Item], pictures: Pictures) -> None:
    """pictures/ITEM.jpg of every item, to be put where workers can reach them."""
    for item in items:
        path = f"{where}/pictures/{item.item}.jpg"
        if not store.exists(path):
            store.write_bytes(path, pictures.read(item.key))


def input_row(design: StudyDesign, item: Item, pictures_url: str) -> dict[str, str]:
    """One line of input.csv; values are escaped, because MTurk puts them into the layout as they are."""
    if not pictures_url.startswith("https://"):
        raise StudyError(f"--pictures-url {pictures_url!r}: MTurk shows pictures by https only; remedy: https://…/")
    both = (item.caption, item.original)
    first, second = both if generated_first(design.seed, item.item) else reversed(both)
    told = {
        "item": item.item,
        "picture_url": f"{pictures_url.rstrip('/')}/{item.item}.jpg",
        "first": first,
        "second": second,
        **{f"s{place + 1}": sentence for place, sentence in enumerate(item.sentences)},
        "creator": item.creator or "creator not named",
        "licence": item.licence,
    }
    return {name: _escaped(value) for name, value in told.items()}


def question(row: Mapping[str, str]) -> str:
    """The HTMLQuestion of one HIT; StudyError when it is longer than MTurk takes."""
    text = _wrapped(Template(layout(form=True)).substitute(row))
    if len(text.encode()) > MOST_BYTES:
        raise StudyError(f"item {row['item']}: its question has {len(text.encode())} bytes, MTurk takes {MOST_BYTES}")
    return text


def layout(*, form: bool) -> str:
    """The page with ``${…}`` where a HIT's values go; with the form that the API asks for, or without it."""
    source = (files("validate.study.mturk") / "layout.html.jinja").read_text("utf-8")
    template = Environment(autoescape=True, trim_blocks=True).from_string(source)
    return template.render(form=form, training=True, reasons=REASONS)


def as_csv(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> bytes:
    """UTF-8 with a header."""
    sink = io.StringIO()
    writer = csv.DictWriter(sink, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()


def _wrapped(page: str) -> str:
    assert "]]>" not in page, "values are escaped, and the layout has none"
    content = f"<HTMLContent><![CDATA[{page}]]></HTMLContent><FrameHeight>0</FrameHeight>"
    return f'<HTMLQuestion xmlns="{_NAMESPACE}">{content}</HTMLQuestion>'


def _escaped(text: str) -> str:
    """HTML without markup, template signs or control characters (which XML cannot hold)."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return html.escape(plain).replace("$", "&#36;").replace("{", "&#123;")
