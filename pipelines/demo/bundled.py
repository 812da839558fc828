"""Where the demo's small CLIP lies."""

from pathlib import Path

CHECKPOINT = Path(__file__).parent / "checkpoint"
CLIP = f"local-dir:{CHECKPOINT}"
"""As open_clip is asked for it."""
