"""One rank of a training job as a process: `python -m tests.train.job SETTINGS.json ROOT [STEPS]` stops after STEPS."""

import os
import signal
import sys
from pathlib import Path

from train.loop import StepReport, train
from train.settings import TrainSettings


def main() -> None:
    settings = TrainSettings.model_validate_json(Path(sys.argv[1]).read_text())
    last = int(sys.argv[3]) if len(sys.argv) > 3 else 0

    def tell(report: StepReport) -> None:
        if report.step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    train(settings, sys.argv[2], tell)


if __name__ == "__main__":
    main()
