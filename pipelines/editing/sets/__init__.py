"""What EmoPair and L-AVC sets share: edits and filters, requests, the settings' record, proofs of files."""
