"""EPEM's tables have the paper's figures, and ours only where they were measured."""

import json
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from editor.evaluation.pairs import Pair
from editor.evaluation.run import Measured
from editor.evaluation.scores import Scored
from moodarchive.errors import DatasetError
from pipelines.editing.epem_tables import ELEMENTS, PAPER, OwnFigures, epem_tables, read_own_figures
from tests.making import textured

VALUES = {
    "clip_prompt": 21.5, "clip_truth": 80.25, "lpips_whole": 0.25, "ssim_whole": 0.5, "emotion_named": 1.0,
    "served_named": 0.0,
}  # fmt: skip


def _measured(method: str, **values: float | None) -> Measured:
    pairs = [
        Pair(source="a.png", edited=f"{number}.png", emotion="awe", method=method, category=category, seconds=seconds)
        for number, (category, seconds) in enumerate((("scene", "1.5"), ("color&brightness", "2.5")))
    ]
    return Measured(rows=tuple(Scored(pair=pair, values=VALUES | values) for pair in pairs), missing=())


def _printed(measured: Measured, own: OwnFigures) -> str:
    console = Console(width=160, record=True, quiet=True)
    with console.capture() as printed:
        console.quiet = False
        for table in epem_tables(Path(), measured, own):
            console.print(*table.fit(console.width))
    return printed.get()


def test_our_row_stands_under_the_papers_in_both_tables(tmp_path: Path) -> None:
    people = [
        {"key": "0.png", "status": "rejected", "reason": "emotion, span", "checked_by": ["a"]},
        {"key": "1.png", "status": "accepted", "reason": "", "checked_by": ["a"]},
        {"key": "2.png", "status": "open", "reason": "", "checked_by": []},
    ]
    (tmp_path / "checked.jsonl").write_text("".join(json.dumps(one) + "\n" for one in people))
    own, missing = read_own_figures("", str(tmp_path / "checked.jsonl"))
    printed = _printed(_measured("epem"), own)
    lines = [line.split() for line in printed.splitlines()]
    at = lines.index(["EPEM", ".068", ".339", "58.29", "82.70", "27.96", "59.97", "75.8", "80.2", "9.6"])
    assert lines[at + 1] == ["epem", "–", "0.250", "50.00", "80.25", "21.50", "100.00", "0.0", "50.0", "2.0"]
    at = lines.index(["EPEM", *("/".join(PAPER["rows"][7][element]) for element in ELEMENTS)])
    assert lines[at + 1] == ["epem", "–", "–", "–", "–/80.25/0.0", "–/80.25/100.0"]
    text = " ".join(printed.split())
    assert "not measured: FID needs --inception" in text and "needs a study's" not in text and not missing


def test_what_lacks_is_told_with_its_remedy() -> None:
    own, missing = read_own_figures("/nowhere/inception.pth", "")
    assert len(missing) == 1 and "--inception" in missing[0] and "104 MB" in missing[0]
    printed = " ".join(_printed(_measured("epem w/o eai", **dict.fromkeys(VALUES)), own).split())
    assert "epem w/o eai – – – – – – – – 2.0" in printed
    for option in ("--inception", "--lpips", "--clip", "--emotions", "--server", "--people"):
        assert option in printed


def test_without_epem_nothing_is_printed() -> None:
    assert _printed(_measured("infedit"), OwnFigures()) == ""


def test_a_file_of_people_that_is_none_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "checked.png")
    with pytest.raises(DatasetError, match=r"cannot be read.*study report"):
        read_own_figures("", str(tmp_path / "checked.png"))


def test_fid_is_the_distance_of_two_normal_distributions_of_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np
    import torch

    from editor.evaluation.frechet import frechet_distance
    from moodarchive.models.torch_compat import import_torchvision_safely

    draw = np.random.default_rng(1)
    real, fake = draw.normal(size=(50, 3)), 2 * draw.normal(size=(60, 3)) + 1
    covariances = [np.cov(each, rowvar=False) for each in (real, fake)]
    root = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real).sum()
    expected = ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(sum(covariances)) - 2 * root
    given = ([torch.from_numpy(row) for row in each] for each in (real, fake))
    assert frechet_distance(*given) == pytest.approx(expected, rel=1e-6)

    class Small(torch.nn.Module):
        """Inception's place: means of each half of a picture; its fc is taken off."""

        def __init__(self, **given: object) -> None:
            super().__init__()
            self.fc: torch.nn.Module = torch.nn.Linear(6, 2)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            assert pixels.shape[1:] == (3, 299, 299)
            features: torch.Tensor = self.fc(torch.cat([half.mean((2, 3)) for half in pixels.chunk(2, 2)], 1))
            return features

    import_torchvision_safely()
    monkeypatch.setattr("torchvision.models.inception_v3", Small)
    torch.save(Small().state_dict(), tmp_path / "inception.pth")
    for number in range(4):
        textured(32, 32, seed=number).save(tmp_path / f"{number}.png")
    own, missing = read_own_figures(str(tmp_path), "")
    assert own.frechet is not None and not missing

    def fid(*edited: int) -> float | None:
        pairs = [Pair(source=f"{n}.png", edited=f"{one}.png", emotion="awe") for n, one in enumerate(edited)]
        assert own.frechet is not None
        return own.frechet.distance(tmp_path, pairs)

    same, other = fid(0, 1), fid(2, 3)
    assert same == pytest.approx(0, abs=1e-5) and other is not None and other > 1e-3 and fid(0) is None
