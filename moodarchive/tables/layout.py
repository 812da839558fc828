"""Names in an archive's root on which its writers and its judges must agree."""

PRIVATE = "private"
"""The shard set of images that may not be passed on."""

DOUBTFUL = "doubtful"
"""The verdict on a picture that may not be safe for work: it is kept, in the private shards only."""

TAKEN_DOWN = "taken_down"
"""The status of what was erased on request, and the reason why it is not kept."""

SETS = ("train", "validation", "heldout", PRIVATE)
"""The shard sets, ``shards/SET/``."""

MANIFEST_PATH = "manifest.json"
"""Written last by the seal; without it a root is not sealed."""

SEALS_FOLDER = "seals"
"""The history: one record a seal, which unsealing leaves."""

VERIFIED_FOLDER = "moodarchive-5k"
"""The held-out images that people verified: a small archive of its own, with a manifest of its own."""
