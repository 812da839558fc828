"""EmoEditor's training: an emotion encoder and a UNet that learn from pairs, and the predictor that labels them."""
