"""What EmoPair and L-AVC sets share: edits and their filters, parts of requests, the settings' record, proofs of files."""
