"""Where the models that come with the demo lie."""

from pathlib import Path

CHECKPOINT = Path(__file__).parent / "checkpoint"
CLIP = f"local-dir:{CHECKPOINT}"
"""The small CLIP, as open_clip is asked for it."""
BASE = Path(__file__).parent / "base"
"""The diffusion model of the drawn world, without its text side, which is the small CLIP's."""
JUDGE = Path(__file__).parent / "judge"
"""The classifier of drawn emotions that measures edits and takes no part in them."""
