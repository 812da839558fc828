"""A run on the demo's servers that finds repeats before captions, or after them: ROOT before|after, for a process."""

import sys
from contextlib import ExitStack

from filter.early_repeats import RepeatSettings
from moodarchive.storage.store import Store
from pipelines.archive import ArchiveRun
from pipelines.demo.run import DemoOptions, demo_settings
from pipelines.demo.serving import run_server
from pipelines.runner.progress import Progress

PICTURES = 48


def main(root: str, when: str) -> None:
    options = DemoOptions(root=root, images=PICTURES)
    with ExitStack() as services:
        drawn = ["--images", str(options.images), "--seed", str(options.seed)]
        site = services.enter_context(run_server("pipelines.demo.stock_site.server", drawn))
        captions = services.enter_context(run_server("pipelines.demo.captioner.server", []))
        settings = demo_settings(options, PICTURES, site, captions)
        early = settings.model_copy(update={"repeats": RepeatSettings(before_captions=when == "before")})
        ArchiveRun(Store(root), early, Progress(Store(root))).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
