"""The authors' options of the objective: each changes its own term, and embeddings are those of the sentences."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.train.small import random_batch, small_model, small_stepper
from train.data.batch import Batch, Reads
from train.data.samples import collate
from train.data.texts import pack_texts, unpack_texts
from train.losses import info_nce, rebuild_from_components
from train.settings import LossSettings
from train.step.build import embeddings_read
from train.step.objective import objective

ROWS = 4
THEIRS = {
    "parts": 5, "attention": "cosine", "negatives": "batch", "label_smoothing": 0.1, "short_text": "sum",
    "short_components": 32,
}  # fmt: skip


def _batch(reads: Reads, rows: int = ROWS, start: int = 0) -> Batch:
    """The same sentences under every choice of what is read; the first sample has no third stimulus."""
    plain = random_batch(3, rows=2 * ROWS)
    texts = unpack_texts(plain.texts)
    samples = []
    for row in range(start, start + rows):
        one, two, three, summary, assessment = texts[5 * row : 5 * row + 5]
        assert min(map(len, texts[5 * row : 5 * row + 5])) > 1 or row == 3
        samples.append((texts[row], summary, assessment, [one, two, three][: 2 if row == 0 else 3], plain.pixels[row]))
    from train.data.samples import Sample

    return collate(
        [
            Sample(str(row), full, [*summary[:-1], *assessment[1:]], (summary, assessment), stimuli, (), pixels)
            for row, (full, summary, assessment, stimuli, pixels) in enumerate(samples)
        ],
        reads,
    )


def _terms(batch_of: Any = _batch, **options: Any) -> dict[str, Tensor]:
    settings = LossSettings.model_validate(options)
    reads = embeddings_read(settings)
    model = small_model(reads).double()
    batch = batch_of(reads)
    return objective(model(batch), batch.present, settings)[1]


@pytest.mark.parametrize(
    ("name", "value", "changed"),
    [
        ("parts", 5, {"fine_grained", "transport"}),
        ("attention", "cosine", {"fine_grained"}),
        ("negatives", "batch", {"fine_grained"}),
        ("label_smoothing", 0.1, {"full", "short"}),
        ("short_text", "sum", {"short"}),
        ("short_components", 2, {"short"}),
    ],
)
def test_each_option_changes_its_own_terms_and_no_other(name: str, value: object, changed: set[str]) -> None:
    plain, other = _terms(negatives="image"), _terms(**{"negatives": "image", name: value})
    assert plain.keys() == other.keys()
    differing = {term for term in plain if abs(float(plain[term] - other[term])) > 1e-9}
    assert differing == changed


@pytest.mark.parametrize("parts", [3, 5])
@pytest.mark.parametrize("fine", [True, False])
def test_the_short_text_as_a_sum_is_the_normalised_sum_of_both_sentences(parts: int, fine: bool) -> None:
    reads = Reads(apart=True, parts=parts, fine=fine)
    model = small_model(reads).double()
    with torch.no_grad():
        found = model(_batch(reads))
        one_by_one = small_model(Reads(apart=True, fine=False)).double()
        texts = unpack_texts(_batch(Reads(apart=True, fine=False)).texts)[ROWS:]
        ends = one_by_one.texts(pack_texts(texts)).reshape(ROWS, 2, -1)
    assert torch.allclose(found.short, functional.normalize(ends[:, 0] + ends[:, 1], dim=-1), atol=1e-9)
    if fine:
        assert found.stimuli.shape[1] == parts
        assert parts == 3 or torch.allclose(found.stimuli[:, [0, 4]], ends, atol=1e-9)


def test_the_short_term_takes_rebuilt_images_and_the_full_one_does_not() -> None:
    settings = LossSettings(fine_grained=0, transport=0, short_components=2)
    reads = embeddings_read(settings)
    model, batch = small_model(reads).double(), _batch(reads)
    embedded = model(batch)
    _, terms = objective(embedded, batch.present, settings)
    rebuilt = rebuild_from_components(embedded.images, 2)
    assert terms["full"].item() == info_nce(embedded.images, [embedded.full], embedded.scale)[0].item()
    assert terms["short"].item() == info_nce(rebuilt, [embedded.short], embedded.scale)[0].item()
    assert list(terms) == ["full", "short"]


def test_a_step_with_all_of_the_authors_options_in_slices_has_the_gradients_of_the_whole() -> None:
    settings = LossSettings.model_validate(THEIRS)
    reads = embeddings_read(settings)
    found = []
    for cuts in ([(4, 0)], [(2, 0), (2, 2)]):
        stepper = small_stepper(small_model(reads).double(), settings)
        losses = stepper.backward([_batch(reads, *cut) for cut in cuts], bf16=False)
        gradients = {name: p.grad for name, p in stepper.clip.named_parameters() if p.grad is not None}
        assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
        found.append((float(losses["loss"]), gradients))
    (loss, whole), (again, sliced) = found
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    assert again == pytest.approx(loss, rel=1e-9) and largest > 1e-3
    assert all((sliced[name] - gradient).abs().max() < 1e-9 * largest for name, gradient in whole.items())
