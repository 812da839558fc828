"""What follows a change: verdicts, the shards that hold other samples now, and the seal, by the recorded settings."""

from crawl.rounds.rounds import Round, read_rounds
from filter.cut import CutSettings, cut, is_cut_current
from filter.early_repeats import are_marks_current, mark_before_captions
from moodarchive.running.part_log import part_log
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import REPEATS, SCORES
from pipelines.runner.execute import pending_parts
from pipelines.runner.settings_record import require_recorded_settings
from shards.pack import ShardSettings, pack_stage
from shards.seal import seal, unseal


def finish(store: Store) -> bool:
    """Cuts and packs what is scored, in this process: few shards change. False, and no seal, while a round is open."""
    scored, whole = _scored_rounds(store)
    parts, rounds = [part for record in scored for part in record.image_parts], [one.number for one in scored]
    settings = require_recorded_settings(store).get("whole_table", {})
    rules = CutSettings.model_validate(settings.get("cut", {}))
    marked = finished_parts(store, REPEATS)
    if done := [record.number for record in read_rounds(store) if marked.keys() & set(record.image_parts)]:
        bring_marks_up_to_date(store, rules, max(done))
    if not is_cut_current(store, rules, parts, rounds):
        unseal(store)
        cut(store, rules, parts, rounds)
    pack = pack_stage(ShardSettings.model_validate(settings.get("shards", {})), store)
    for part in pending_parts([pack], store, parts):
        unseal(store)
        with part_log(store, pack.name, part):
            run_part(pack, store, pack.make_worker(), part)
    if whole:
        seal(store)
    return whole


def bring_marks_up_to_date(store: Store, settings: CutSettings, until: int) -> None:
    """Marks the repeats of every round up to this one; the seal is broken before a mark changes."""
    known: list[int] = []
    for record in read_rounds(store):
        if record.number <= until:
            known += record.image_parts
            if not are_marks_current(store, settings, record.image_parts, known):
                unseal(store)
                mark_before_captions(store, settings, record.image_parts, known)


def _scored_rounds(store: Store) -> tuple[list[Round], bool]:
    """The rounds that are scored to the end, and whether those are all."""
    scored = finished_parts(store, SCORES)
    rounds = read_rounds(store)
    ready = [record for record in rounds if record.merged and all(part in scored for part in record.image_parts)]
    return ready, len(ready) == len(rounds)
