"""The training run as a Ray Train job, which begins again from the last checkpoint when a worker is lost."""

import json
import os
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from moodarchive.errors import ConfigError, MissingExtraError, MoodArchiveError, StageError
from moodarchive.running.neutral_folder import RAY_SYSTEM, neutral_folder, start_ray_in, worker_environment
from moodarchive.running.ray_address import OWN, address_of
from moodarchive.storage.store import Store
from train.settings import TrainSettings


def train_on_ray(settings: TrainSettings, root: str, start: str = "") -> Store:
    """Runs ``ray.workers`` ranks; a lost worker or node costs the steps since the last checkpoint.

    StageError after more than ``ray.restarts`` losses; a person's mistake is raised as by a run without Ray.
    """
    try:
        import ray
        import ray.train.torch
    except ImportError as error:
        raise MissingExtraError(error.name or "ray[train]", "train") from error
    address = address_of(settings.ray.address)
    users_folder = Path.cwd()
    with neutral_folder() as folder:

        def start_ray() -> None:
            ray.init(
                # "local", not None, which joins whatever cluster this machine noted last, even one that has died
                address=address or OWN,
                log_to_driver=True,
                include_dashboard=None if address else False,
                runtime_env=None if address else worker_environment(users_folder),
                _system_config=None if address else RAY_SYSTEM,
            )

        start_ray_in(folder, start_ray)
        return _fit(settings, root, start, users_folder)


def _fit(settings: TrainSettings, root: str, start: str, users_folder: Path) -> Store:
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    try:
        has_gpus = ray.cluster_resources().get("GPU", 0) > 0  # type: ignore[no-untyped-call]
        trainer = TorchTrainer(
            _rank,
            train_loop_config={
                "settings": settings.model_dump_json(),
                "root": root,
                "start": start,
                "folder": str(users_folder),
            },
            scaling_config=ScalingConfig(num_workers=settings.ray.workers, use_gpu=has_gpus),
            run_config=RunConfig(
                name="moodarchive-train",
                storage_path=settings.ray.scratch or str(Path(gettempdir(), "moodarchive-ray-train")),
                failure_config=FailureConfig(max_failures=settings.ray.restarts),
            ),
        )
        try:
            trainer.fit()
        except Exception as error:  # Ray wraps what a rank raised in errors of its own
            raise _project_error(error) from error
    finally:
        ray.shutdown()
    return Store(settings.output or root or settings.data.archives[0].root)


def _rank(given: dict[str, Any]) -> None:
    """One rank; Ray has joined the ranks already."""
    from train.loop import StepReport, train

    with suppress(OSError):  # Ray gives each rank a folder; relative paths start from the user's, where it is seen
        os.chdir(given["folder"])

    def tell(report: StepReport) -> None:
        if report.step % 10 == 0 or report.step == report.steps:
            terms = " ".join(f"{name} {value:.4f}" for name, value in report.losses.items())
            rate = f"{report.samples_per_second:.1f} samples/s, waiting for data {report.waiting:.0%}"
            print(f"step {report.step}/{report.steps} {terms} {rate}", flush=True)

    train(TrainSettings.model_validate(json.loads(given["settings"])), given["root"], tell, given["start"])


def _project_error(error: BaseException) -> MoodArchiveError:
    """The project's own error that a rank raised, or one that says that the job was lost too often."""
    for cause in _causes(error):
        if isinstance(cause, MoodArchiveError):
            return ConfigError(str(cause)) if cause.exit_code == ConfigError.exit_code else StageError(str(cause))
    return StageError(
        f"the training job ended: {str(error)[-400:]}; remedy: the same command goes on from the last checkpoint"
    )


def _causes(error: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is not None and current not in causes:
            causes.append(current)
            waiting += [current.__cause__, getattr(current, "cause", None)]
            waiting += list(getattr(current, "worker_failures", {}).values())
    return causes
