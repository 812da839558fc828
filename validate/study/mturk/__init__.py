"""Amazon Mechanical Turk: files, publishing, results, payments."""
