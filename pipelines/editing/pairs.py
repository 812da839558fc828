"""Edits become rows of an evaluation's table, their sources and masks beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from editor.evaluation.pairs import Pair, add_pairs, adopt_source
from editor.job import EditResult
from editor.planning.regions import mask_picture
from moodarchive.errors import EditError


@dataclass(frozen=True, kw_only=True)
class PairsWanted:
    """The evaluation's folder, and what its pictures show; EditError unless the edits go below the folder."""

    folder: Path
    out: Path
    category: str

    def __post_init__(self) -> None:
        if not self.out.resolve().is_relative_to(self.folder.resolve()):
            raise EditError(f"-o {self.out} lies outside --pairs {self.folder}; remedy: -o {self.folder / 'METHOD'}")

    def note(self, source: Path, made: Sequence[tuple[Path, EditResult]]) -> None:
        """Adds the edits of one source to the table; an edit that was there is replaced."""
        kept = adopt_source(self.folder, source)
        add_pairs(self.folder, [self._pair(kept, path, edited) for path, edited in made])

    def _pair(self, source: str, path: Path, edited: EditResult) -> Pair:
        mask, name = edited.plan.mask, ""
        if mask is not None:
            name = f"masks/{edited.record.mask_sha256[:16]}.png"
            (self.folder / "masks").mkdir(exist_ok=True)
            mask_picture(mask).save(self.folder / name)
        return Pair(
            source=source,
            edited=path.resolve().relative_to(self.folder.resolve()).as_posix(),
            emotion=edited.record.emotion,
            mask=name,
            category=self.category,
            prompt=edited.record.prompt,
            method=edited.record.method,
            seconds=f"{edited.seconds:.3f}",
        )
