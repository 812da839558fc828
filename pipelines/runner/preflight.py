"""Whether every node of a Ray cluster sees what a run needs there: this program, the root, folders of the settings."""

import os
import platform
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from moodarchive.errors import ConfigError, MoodArchiveError
from moodarchive.running.own_packages import foreign_package
from moodarchive.storage.store import Store
from pipelines.settings import ArchiveSettings

TOKEN_FOLDER = "crawl/nodes"  # noqa: S105
ANSWER_S = 60.0


@dataclass(frozen=True, kw_only=True)
class LocalPath:
    """A file or folder that a setting names and workers read."""

    setting: str
    path: str


@dataclass(frozen=True, kw_only=True)
class NodeRequirements:
    """What each node must see. Picklable: workers of nodes that join later look for themselves."""

    store: Store
    token_path: str
    token: bytes
    paths: tuple[LocalPath, ...]
    version: str

    def missing(self) -> str:
        """What this process does not see, with the remedy; empty when it sees everything."""
        if self.version != version("moodarchive"):
            return (
                f"has moodarchive {version('moodarchive')}, the run {self.version}; remedy: install the same version "
                "(the same image) on every node"
            )
        if problem := foreign_package():
            return f"does not have this program as it is: {problem}"
        try:
            token = self.store.read_many([self.token_path])[0]
        except MoodArchiveError as error:
            return f"cannot read the root: {error}"
        if token != self.token:
            return (
                f"does not see the root {self.store.root}; remedy: a root that all nodes share (s3://…, or a network "
                "file system mounted at the same path on each)"
            )
        for needed in self.paths:
            if not os.path.exists(needed.path):
                return f"has no {needed.path} ({needed.setting}); remedy: put it at this path on every node"
        return ""


def local_paths(settings: ArchiveSettings) -> tuple[LocalPath, ...]:
    """Files and folders of this machine that workers read, wherever they run."""
    sources, kind, dataset = settings.sources, "local-dir:", settings.sources.unsplash_dataset
    named = {
        "sources.urls.folder": (sources.urls.folder if sources.urls.enabled else "",),
        "sources.urls.lists": sources.urls.lists if sources.urls.enabled else (),
        "sources.unsplash_dataset.folder": (dataset.folder if dataset.enabled else "",),
        "score.model": (settings.score.model.removeprefix(kind) if settings.score.model.startswith(kind) else "",),
    }
    return tuple(LocalPath(setting=name, path=path) for name, paths in named.items() for path in paths if path)


def start_preflight(store: Store, paths: Sequence[LocalPath]) -> NodeRequirements:
    """Writes a token that no other root can hold, and tells what a node must see."""
    for needed in paths:
        if not os.path.isabs(needed.path):
            raise ConfigError(
                f"{needed.setting} = {needed.path!r} is relative, and workers on a cluster stand in other folders; "
                "remedy: an absolute path"
            )
    for old in store.names(TOKEN_FOLDER):  # of a killed run
        store.remove(f"{TOKEN_FOLDER}/{old}")
    name = uuid.uuid4().hex
    store.write_bytes(f"{TOKEN_FOLDER}/{name}", name.encode())
    return requirements_by(store, f"{TOKEN_FOLDER}/{name}", paths)


def requirements_by(store: Store, token_path: str, paths: Sequence[LocalPath] = ()) -> NodeRequirements:
    """What a node must see, told by a file that is there already."""
    token = store.read_bytes(token_path)
    return NodeRequirements(
        store=store, token_path=token_path, token=token, paths=tuple(paths), version=version("moodarchive")
    )


def end_preflight(requirements: NodeRequirements) -> None:
    """Removes the token of this run; a file that was there already stays."""
    if requirements.token_path.startswith(f"{TOKEN_FOLDER}/"):
        with suppress(OSError, MoodArchiveError):  # the run's own outcome matters more
            requirements.store.remove(requirements.token_path)


def check_nodes(requirements: NodeRequirements) -> None:
    """Has every living node look; ConfigError names those that do not see everything. Ray must run."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look: Any = ray.remote(num_cpus=0, max_retries=1)(_missing)
    answers = {
        f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}, node {node['NodeID'][:8]})": look.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(requirements)
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    }
    ray.wait(list(answers.values()), num_returns=len(answers), timeout=ANSWER_S)
    problems = [f"  {name} {problem}" for name, answer in answers.items() if (problem := _answer_of(answer))]
    if problems:
        raise ConfigError("\n".join([f"{len(problems)} of {len(answers)} nodes cannot take part", *problems]))


def _missing(requirements: NodeRequirements) -> str:
    return requirements.missing()


def _answer_of(answer: Any) -> str:
    import ray

    try:
        return str(ray.get(answer, timeout=1.0))
    except ray.exceptions.GetTimeoutError:
        return f"does not answer within {ANSWER_S:.0f} s; remedy: look at its raylet's log, or take it out"
    except ray.exceptions.RayTaskError as error:
        return f"cannot run this program: {str(error.cause).splitlines()[0]}; remedy: install moodarchive on every node"
    except ray.exceptions.RayError:
        return ""  # it left meanwhile; nothing will be run there


def here() -> str:
    """This node's name, for messages."""
    return platform.node()
