"""L-AVC sets: a picture, its caption and emotion, an instruction, and the caption and picture after it."""
