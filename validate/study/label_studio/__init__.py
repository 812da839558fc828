"""Label Studio: files, results."""
