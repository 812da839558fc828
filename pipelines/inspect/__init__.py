"""What looks at an archive and changes nothing: status, show, diff, plan, sources."""
