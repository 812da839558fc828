"""Captions one part in a process of its own, which prints the most memory that it held (KiB).

``python -m tests.annotate.measured_run ROOT URL IN_FLIGHT``
"""

import re
import sys
from pathlib import Path

from annotate.caption import CaptionSettings, caption_stage
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from tests.annotate.simulated_gpu import MODEL


def main(root: str, url: str, in_flight: str) -> None:
    stage = caption_stage(CaptionSettings(model=MODEL, servers=(url,), in_flight=int(in_flight)))
    run_part(stage, Store(root), stage.make_worker(), 0)
    # not getrusage: its peak begins with that of the process that forked this one
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(peak[1] if peak else "")


if __name__ == "__main__":
    main(*sys.argv[1:])
