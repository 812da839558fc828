"""What edits, as a person names it: the method, its weights, its settings, and the model that is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from editor.edit import require_method
from editor.job import Editor, settings_with
from editor.planning.plan import Planner
from moodarchive.errors import EditError


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What edits: the method with its weights, and the model that is asked; empty means the default or none."""

    method: str = "moodifier"
    model: str = ""
    base: str = ""
    server: str = ""
    server_model: str = ""
    detector: str = ""
    """GroundingDINO in transformers' form; with ``segmenter``, SAM, it finds the region by the name of what changes."""
    segmenter: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    """What is given of ``editor.edit.EditSettings``; None where the method's own value holds."""
    own_surroundings: bool = True


def make_editor(tools: Tools) -> Editor:
    """Nothing is loaded yet; EditError for settings that no method takes."""
    from editor.planning.lexicon import LexiconPlanner, open_clip_folder
    from editor.planning.segments import TextToMask
    from editor.planning.served import ServedPlanner
    from editor.weights import BASES
    from moodarchive.models.clip import ClipEncoder

    require_method(tools.method)
    settings = settings_with(tools.method, **tools.settings)
    if tools.server and not tools.server_model:
        raise EditError(f"the server {tools.server} needs its model's name; remedy: give it as server_model")
    if bool(tools.detector) != bool(tools.segmenter):
        raise EditError("detector and segmenter go together; remedy: name both, or neither")
    segments = TextToMask(detector=tools.detector, segmenter=tools.segmenter) if tools.detector else None
    eye = open_clip_folder(tools.model) if tools.model else None
    lexicon = LexiconPlanner(encoder=ClipEncoder(model=f"local-dir:{eye}")) if eye else None
    served = ServedPlanner(server=tools.server, model=tools.server_model) if tools.server else None
    return Editor(
        method=tools.method,
        base=tools.base or (BASES[tools.method].repository if tools.method in BASES else ""),
        model=tools.model or None,
        settings=settings,
        planner=Planner(served=served, lexicon=(lambda: lexicon) if lexicon else None, segments=segments),
        own_surroundings=tools.own_surroundings,
    )
