"""The human study's steps over an archive, its report, and the verified set."""
