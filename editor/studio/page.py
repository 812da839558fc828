"""The page's layout: a photo with a brush, the emotions, before and after, and the history."""

from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from editor.edit import GRADUAL
from editor.job import Editor
from editor.planning.instructions import LONGEST
from editor.studio.conversation import Conversation
from editor.studio.handlers import MOST_EDITS, Handlers
from editor.studio.wheel import emotion_wheel

CSS = Path(__file__).with_name("page.css")
_INTRO = """<header class="intro"><h1>MoodArchive Studio</h1>
<p>Open a photo, choose what it should make people feel, and compare. Paint over what may change, or leave it to the
model.</p></header>"""


class Wanted(NamedTuple):
    """The fields of a request, in the order in which ``Handlers.edit`` takes them."""

    brush: Any
    emotions: Any
    strength: Any
    prompt: Any
    region: Any
    boxes: Any
    scope: Any
    seed: Any
    seeds: Any


class Shown(NamedTuple):
    """What shows an edit, in the order in which the handlers give it."""

    status: Any
    both: Any
    used: Any
    mask: Any
    saved: Any


class Talk(NamedTuple):
    """The conversation's fields."""

    turns: Any
    shown: Any
    line: Any
    send: Any
    back: Any


def make_page(handlers: Handlers, conversation: Conversation) -> Any:
    """The Blocks; every event has an explicit name in the API."""
    with gr.Blocks(title="MoodArchive Studio", analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        photos, photo, made, regions = gr.State([]), gr.State(""), gr.State([]), gr.State({})
        gr.HTML(_INTRO, padding=False)
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                opened = gr.File(
                    label="Photos: drop them here, or choose",
                    file_count="multiple",
                    file_types=["image"],
                    height=110,
                    elem_id="open",
                )
                album = _gallery("Open photos", "album", 6)
                wanted = _wanted(handlers.runs.editor)
                with gr.Row():
                    go = gr.Button("Edit", variant="primary", elem_id="go")
                    halt = gr.Button("Stop", variant="stop", elem_id="stop", interactive=False)
            with gr.Column(scale=6, min_width=320):
                result = _result(handlers)
                talk = _talk(conversation)
                side_by_side = _gallery("Side by side", "edits", 4)
        past = _gallery("History", "history", 8)
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        opened.upload(
            handlers.open,
            [opened, photos, photo, wanted.brush, wanted.boxes, regions],
            [photos, photo, wanted.brush, wanted.boxes, regions, album, opened, result.status],
            api_name="open",
            show_progress="minimal",
        )
        album.select(
            handlers.choose,
            [photos, photo, wanted.brush, wanted.boxes, regions],
            [photo, wanted.brush, wanted.boxes, regions, result.status],
            api_name="choose",
            **quiet,
        )
        go.click(
            handlers.edit,
            [photos, photo, regions, *wanted],
            [*result, side_by_side, made, past, go, halt],
            api_name="edit",
            concurrency_limit=1,
            **quiet,
        )
        halt.click(handlers.stop, None, None, api_name="stop", queue=False, **quiet)
        side_by_side.select(handlers.show_made, [made], [*result], api_name="show_made", **quiet)
        past.select(handlers.show, None, [*result], api_name="show", **quiet)
        say: dict[str, Any] = {
            "inputs": [photo, talk.turns, talk.line, wanted.strength, wanted.seed],
            "outputs": [*result, past, talk.turns, talk.shown, talk.line, talk.send, halt],
            "concurrency_limit": 1,
            "concurrency_id": "say",
            **quiet,
        }
        talk.send.click(conversation.say, api_name="say", **say)
        talk.line.submit(conversation.say, api_name="say_by_key", **say)
        talk.back.click(
            conversation.take_back,
            [photo, talk.turns],
            [*result, past, talk.turns, talk.shown],
            api_name="take_back",
            **quiet,
        )
        photo.change(conversation.begin_anew, None, [talk.turns, talk.shown], api_name="begin_anew", **quiet)
        page.load(handlers.history, None, [past], api_name="history", **quiet)
    page.queue(max_size=16, api_open=False)
    return page


def _gallery(label: str, elem_id: str, columns: int) -> Any:
    return gr.Gallery(
        label=label,
        columns=columns,
        height="auto",
        object_fit="cover",
        allow_preview=False,
        interactive=False,
        elem_id=elem_id,
        elem_classes="thumbnails",
        buttons=[],
    )


def _wanted(editor: Editor) -> Wanted:
    brush = gr.ImageEditor(
        type="pil",
        label="Paint what may change",
        sources=(),
        transforms=(),
        layers=False,
        brush=gr.Brush(colors=["#ff5c8a"], color_mode="fixed"),
        height=430,
        elem_id="brush",
        buttons=[],
        placeholder="Open a photo to begin",
    )
    emotions = emotion_wheel(["joy"])
    gradual = editor.method in GRADUAL
    strength = gr.Slider(
        0.1,
        1,
        value=editor.settings.strength,
        step=0.05,
        label="Strength: less keeps more of the photo" if gradual else f"Strength: {editor.method} knows none",
        interactive=gradual,
        elem_id="strength",
    )
    prompt = gr.Textbox(
        label="Prompt", placeholder="Empty: found from photo and emotion", max_lines=3, elem_id="prompt"
    )
    with gr.Row():
        seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, min_width=120, elem_id="seed")
        seeds = gr.Number(
            1, label="Seeds from there on", precision=0, minimum=1, maximum=MOST_EDITS, min_width=120, elem_id="seeds"
        )
    with gr.Accordion("More", open=False):
        choices = [("painted or boxes, else found", "found"), ("all of the picture", "whole")]
        region = gr.Radio(choices, value="found", label="What may change")
        boxes = gr.Textbox(
            label="Boxes without a brush: x0,y0,x1,y1 as shares of width and height, several after a blank",
            placeholder="0.25,0.1,0.75,0.6",
            max_lines=1,
            elem_id="boxes",
        )
        scope = gr.Radio([("this photo", "one"), ("all open photos", "all")], value="one", label="Which photos")
    return Wanted(brush, emotions, strength, prompt, region, boxes, scope, seed, seeds)


def _talk(conversation: Conversation) -> Talk:
    turns = gr.State([])
    with gr.Group(elem_id="talk"):
        shown = gr.HTML(conversation.show([]), elem_id="turns", padding=True)
        said = gr.Textbox(
            label="Or say it: each line edits the last picture",
            placeholder="make it calm … more … only the sky … undo",
            max_lines=1,
            max_length=LONGEST,
            elem_id="say",
        )
        with gr.Row():
            send = gr.Button("Say", variant="primary", elem_id="send")
            back = gr.Button("Take back", elem_id="back")
    return Talk(turns, shown, said, send, back)


def _result(handlers: Handlers) -> Shown:
    status = gr.HTML(handlers.ready(), elem_id="status", padding=False)
    both = gr.ImageSlider(
        label="Before and after", type="pil", interactive=False, height=470, elem_id="both", buttons=[]
    )
    with gr.Row(equal_height=False):
        used = gr.HTML("", elem_id="used", padding=False)
        mask = gr.Image(label="Region used", interactive=False, height=190, elem_id="mask", buttons=[], min_width=160)
    saved = gr.DownloadButton("Save the edit", interactive=False, elem_id="save")
    return Shown(status, both, used, mask, saved)
