"""Takedown and prune, from what is asked to the new seal: recorded first, then done, then packed and sealed anew."""

from collections.abc import Callable
from dataclasses import replace

from moodarchive.archive.pruned import read_pruned
from moodarchive.archive.takedown import Identifiers, Takedown, mark_done, read_takedowns, record
from moodarchive.archive.writer_lock import only_writer
from moodarchive.errors import UnmetLinesError
from moodarchive.storage.store import Store
from moodarchive.tables.layout import MANIFEST_PATH
from moodarchive.tables.schemas import IMAGES
from pipelines.browse.cache import find_caches
from pipelines.change.erasing import erase
from pipelines.change.matching import match_images
from pipelines.change.pruning import drop_pictures, plan_pruning, refuse_unsound
from pipelines.change.reseal import finish
from pipelines.change.takedown_list import read_list
from pipelines.inspect.report.write import REPORT_PATH, write_report
from pipelines.runner.settings_record import require_recorded_settings
from shards.seal import unseal

Say = Callable[[str], None]


def take_down(store: Store, path: str, say: Say) -> None:
    """Erases what the list names, and binds later rounds.

    TakedownListError before anything has changed; UnmetLinesError, after all is done, for lines that meant no image.
    """
    require_recorded_settings(store)
    requested = read_list(path)
    with only_writer(store):
        store.remove_drafts()
        go_on(store)
        takedown = _record_list(store, requested.identifiers)
        reported = store.exists(REPORT_PATH)
        go_on(store)
        sealed = finish(store)
        if reported:
            write_report(store)
    say(f"{len(takedown.met.keys)} images taken down; what the list names is bound for all later rounds")
    for folder in find_caches(store):
        say(f"{folder} holds thumbnails and could not be removed; remedy: remove it by hand")
    if not sealed:
        say("a round is open, so nothing is sealed; remedy: moodarchive run goes on with it and seals")
    if lines := requested.lines_within(takedown.unmet):
        raise UnmetLinesError(
            f"{path}: {len(lines)} of {len(requested.lines)} lines meant no image of the archive:\n"
            + "".join(f"  {line.location}: {line.text}\n" for line in lines)
            + "they are bound for later rounds all the same; remedy: compare them with the archive (moodarchive show), "
            "mend those that are misspelt and give the list again"
        )


def _record_list(store: Store, asked: Identifiers) -> Takedown:
    """The list's record; a list that was given before is done unless it means images that came since.

    What an earlier list took down is met, although no table holds its address any more.
    """
    met, unmet = match_images(store, asked)
    earlier = read_takedowns(store)
    for takedown in earlier:
        unmet = unmet - takedown.met - (takedown.asked - takedown.unmet)
    takedown = Takedown(asked=asked, met=met, unmet=unmet)
    known = {one.path: one for one in earlier}.get(takedown.path)
    if known is not None:
        takedown = replace(takedown, met=known.met | met)
    if known is None or (takedown.met, takedown.unmet) != (known.met, known.unmet):
        record(store, takedown)
    return takedown


def go_on(store: Store) -> None:
    """Completes what a killed takedown or prune has begun; to be called before anything else reads or writes."""
    for takedown in read_takedowns(store):
        if not takedown.done:
            unseal(store)
            erase(store, takedown.met.keys)
            mark_done(store, takedown)
    if not read_pruned(store).done:
        unseal(store)
        drop_pictures(store)


def prune(store: Store, say: Say) -> None:
    """Drops the pictures of images/, which the shards hold. NotWholeError unless the archive is sealed and sound."""
    require_recorded_settings(store)
    with only_writer(store):
        store.remove_drafts()
        if _is_open(store):
            go_on(store)
            finish(store)
        refuse_unsound(store)
        if not plan_pruning(store):
            say("nothing to prune: no picture has come to images/ since")
            return
        before = sum(store.files(IMAGES.name).values())
        go_on(store)
        finish(store)
        after = sum(store.files(IMAGES.name).values())
    say(f"images/ went from {before / 1e6:,.1f} to {after / 1e6:,.1f} MB; the shards hold what is kept")


def _is_open(store: Store) -> bool:
    """True when a takedown or a prune was killed, be it after its plan, or just before its seal."""
    pruned = read_pruned(store)
    begun = bool(pruned.files) and not store.exists(MANIFEST_PATH)
    return begun or not pruned.done or not all(takedown.done for takedown in read_takedowns(store))
