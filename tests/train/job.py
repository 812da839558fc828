"""One rank of a training job as a process: `python -m tests.train.job SETTINGS.json ROOT [STEPS]`.

It kills itself after STEPS, once the checkpoint of the step before is whole; ``-STEPS`` kills it while the checkpoint
of STEPS is being written, half of the optimiser's bytes being there.
"""

import io
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from train.loop import StepReport, train
from train.settings import TrainSettings


def main() -> None:
    settings = TrainSettings.model_validate_json(Path(sys.argv[1]).read_text())
    last = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    if last < 0:
        _die_while_writing(-last)

    def tell(report: StepReport) -> None:
        if report.step == last:
            written = Path(settings.output, "checkpoints", f"{last - 1:08d}", "state.json")
            while not written.exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

    train(settings, sys.argv[2], tell)


def _die_while_writing(step: int) -> None:
    save = torch.save

    def save_half(state: Any, file: Any) -> None:
        if max(float(values["step"]) for values in state["state"].values()) < step:
            save(state, file)
            return
        whole = io.BytesIO()
        save(state, whole)
        file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    torch.save = save_half


if __name__ == "__main__":
    main()
