"""CLIP models: loading, patches, vocabulary, the stretch to long texts."""
