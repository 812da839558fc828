"""The study of edited pictures: its items and its verdict."""
