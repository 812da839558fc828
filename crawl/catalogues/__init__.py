"""Lists of images offered as files: their rows are matched with all phrases at once."""
