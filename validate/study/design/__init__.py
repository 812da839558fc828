"""What a study is: its record, its question, its items and their pictures, the order of the texts."""
