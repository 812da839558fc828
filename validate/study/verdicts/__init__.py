"""What people decided goes back into the archive: human_verdicts/, MoodArchive-5k, and takedowns."""
