"""Downloaded bytes become stored pictures: limits, decoding, hashes, one JPEG."""
