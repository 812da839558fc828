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
from validate.study.design.items import Item
from validate.study.design.order import generated_first
from validate.study.design.pictures import Pictures, export_pictures
from validate.study.design.questions import REASONS
from validate.study.design.study import CAPTIONS, StudyDesign, folder
from validate.study.mturk.terms import Terms, compute_cost

MTURK_FOLDER = f"{folder(CAPTIONS)}/mturk"
MOST_BYTES = 65_535
"""What MTurk takes as one question."""
_NAMESPACE = "http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2011-11-11/HTMLQuestion.xsd"
COLUMNS = ("item", "picture_url", "first", "second", "s1", "s2", "s3", "s4", "s5", "creator", "licence")


def write_mturk(
    store: Store, design: StudyDesign, items: Sequence[Item], pictures: Pictures, *, terms: Terms, pictures_url: str
) -> str:
    """Writes layout.html, question.xml, input.csv, hit-type.json and pictures/; returns the folder.

    layout.html is for the requester's website, which makes the form itself; question.xml for the API.
    """
    rows = [make_input_row(design, item, pictures_url) for item in items]
    store.write_bytes(f"{MTURK_FOLDER}/layout.html", render_layout(form=False).encode())
    store.write_bytes(f"{MTURK_FOLDER}/question.xml", _wrap(render_layout(form=True)).encode())
    store.write_bytes(f"{MTURK_FOLDER}/input.csv", to_csv(COLUMNS, rows))
    plan = {
        "hit_type": terms.hit_type(live=True),
        "hits": len(rows),
        "assignments": design.workers,
        "cost_usd": str(compute_cost(terms, len(rows), design.workers)),
    }
    store.write_bytes(f"{MTURK_FOLDER}/hit-type.json", (json.dumps(plan, indent=1) + "\n").encode())
    export_pictures(store, MTURK_FOLDER, items, pictures)
    return MTURK_FOLDER


def make_input_row(design: StudyDesign, item: Item, pictures_url: str) -> dict[str, str]:
    """One line of input.csv; values are escaped, because MTurk puts them into the layout as they are."""
    if not pictures_url.startswith("https://"):
        raise StudyError(f"--pictures-url {pictures_url!r}: MTurk shows pictures by https only; remedy: https://…/")
    both = (item.caption, item.original)
    first, second = both if generated_first(design.seed, item.item) else reversed(both)
    values = {
        "item": item.item,
        "picture_url": f"{pictures_url.rstrip('/')}/{item.item}.jpg",
        "first": first,
        "second": second,
        **{f"s{number}": sentence for number, sentence in enumerate(item.sentences, 1)},
        "creator": item.creator or "creator not named",
        "licence": item.licence,
    }
    return {name: _escape(value) for name, value in values.items()}


def render_question(row: Mapping[str, str]) -> str:
    """The HTMLQuestion of one HIT; StudyError when it is longer than MTurk takes."""
    text = _wrap(Template(render_layout(form=True)).substitute(row))
    if len(text.encode()) > MOST_BYTES:
        raise StudyError(f"item {row['item']}: its question has {len(text.encode())} bytes, MTurk takes {MOST_BYTES}")
    return text


def render_layout(*, form: bool) -> str:
    """The page with ``${…}`` where a HIT's values go; with the form that the API asks for, or without it."""
    source = (files("validate.study.mturk") / "layout.html.jinja").read_text("utf-8")
    template = Environment(autoescape=True, trim_blocks=True).from_string(source)
    return template.render(form=form, training=True, reasons=REASONS)


def to_csv(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> bytes:
    """UTF-8 with a header."""
    sink = io.StringIO()
    writer = csv.DictWriter(sink, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()


def _wrap(page: str) -> str:
    assert "]]>" not in page, "values are escaped, and the layout has none"
    content = f"<HTMLContent><![CDATA[{page}]]></HTMLContent><FrameHeight>0</FrameHeight>"
    return f'<HTMLQuestion xmlns="{_NAMESPACE}">{content}</HTMLQuestion>'


def _escape(text: str) -> str:
    """HTML without markup, template signs or control characters (which XML cannot hold)."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return html.escape(plain).replace("$", "&#36;").replace("{", "&#123;")
