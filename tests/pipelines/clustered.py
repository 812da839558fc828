"""The demo's archive built on a Ray cluster: ``python -m tests.pipelines.clustered ROOT ADDRESS IMAGES WORKERS``."""

import sys
from contextlib import ExitStack

from moodarchive.errors import MoodArchiveError
from moodarchive.storage.store import Store
from pipelines.archive import ArchiveRun
from pipelines.demo.run import DemoOptions, demo_settings
from pipelines.demo.serving import run_server
from pipelines.demo.stock_site.catalogue import drawn_catalogue
from pipelines.runner.progress import Progress
from pipelines.settings import RunSettings


def main() -> None:
    """The demo without its summary; its settings differ in execution only."""
    root, address, images, workers = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    options = DemoOptions(root=root, images=images)
    with ExitStack() as services:
        site = services.enter_context(
            run_server("pipelines.demo.stock_site.server", ["--images", str(images), "--seed", "0"])
        )
        captions = services.enter_context(run_server("pipelines.demo.captioner.server", []))
        chosen = demo_settings(options, len(drawn_catalogue(images, 0)), site, captions)
        share = {"workers": workers, "cpus_per_worker": 0.1}
        chosen = chosen.model_copy(
            update={
                "run": RunSettings(ray_address=address, cpus=6, give_up_after=30),
                "download": chosen.download.model_copy(update=share),
                "safety": chosen.safety.model_copy(update=share),
                "caption": chosen.caption.model_copy(update={"workers": workers, "in_flight": 3}),
                "shards": chosen.shards.model_copy(update=share),
            }
        )
        store = Store(root)
        try:
            ArchiveRun(store, chosen, Progress(store)).run()
        except MoodArchiveError as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
