"""EPEM beside a text-only UNet in moods whose edited pictures neither was shown, though the base knows their words.

`python -m benchmarks.epem unseen` runs it. Each seed leaves two of the six moods out of the records that both arms
learn from, so that three seeds leave out each mood once; then both are told to edit unseen places into those two. The
language half and the base have read the words of every mood: a language model and a diffusion model bring them along.
"""

import argparse
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch

from benchmarks.epem_base import prepare_base
from benchmarks.epem_captions import prepare_captioner, prepare_editor
from benchmarks.epem_pictures import (
    ARM,
    Figures,
    edit_by_description,
    edit_by_instruction,
    measure,
    open_epem,
    prepare_records,
    run,
    train_adapter,
    train_text_only,
    write_all,
)
from moodarchive.emotions.taxonomy import MIKELS
from moodarchive.language_edit.records import read_records, write_records
from pipelines.demo.closed_world import Case, draw_cases
from pipelines.demo.pairs.drawing import PAIRED_EMOTIONS

LEFT_OUT = 2
"""Moods a seed."""


def unseen(options: argparse.Namespace, seed: int, work: Path) -> dict[str, Figures]:
    """One seed, from records without two moods to the arms' figures, a row a case."""
    torch.set_num_threads(1)
    moods = left_out(seed)
    print(f"seed {seed}: no edit to {' or '.join(moods)} is among the records", flush=True)
    base, records = prepare_base(options, work), leave_out(prepare_records(options, work), moods)
    captioner, arms = prepare_captioner(options, work), work / "unseen"
    text_only = train_text_only(options, seed, arms, records, base)
    adapter = train_adapter(options, seed, arms, records=records, base=base, captioner=captioner, eai=True)
    editor = prepare_editor(options, seed, work, captioner)
    cases = unseen_cases(options.cases, seed, moods)
    whole, plain = open_epem(options, adapter, editor), open_epem(options, adapter, editor, eic=False)
    images = {
        "source": [case.source.image for case in cases],
        ARM: run(ARM, whole, cases, write_all(whole, cases)),
        "w/o EIC": run("w/o EIC", plain, cases, write_all(plain, cases)),
        "SDEdit": edit_by_description(base, cases),
        "text-only UNet": edit_by_instruction(options, text_only, cases),
    }
    return measure(options, cases, images)


def left_out(seed: int) -> list[str]:
    """The seed's two moods; the next seed's are the next two of the six."""
    first = LEFT_OUT * seed % len(PAIRED_EMOTIONS)
    return [MIKELS[emotion] for emotion in PAIRED_EMOTIONS[first : first + LEFT_OUT]]


def leave_out(records: Path, moods: Sequence[str]) -> Path:
    """The records without those whose edit shows one of the moods, beside them: paths of pictures are relative."""
    kept = records.with_name(f"without-{'-'.join(moods)}.jsonl")
    write_records(kept, (row for row in read_records(records) if row["edited_emotion"] not in moods))
    return kept


def unseen_cases(count: int, seed: int, moods: Sequence[str]) -> list[Case]:
    """The first of the seed's unseen places whose wanted mood is one of these."""
    every = draw_cases(count * len(PAIRED_EMOTIONS), seed)
    return list(islice((case for case in every if MIKELS[case.emotion] in moods), count))
