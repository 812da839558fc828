"""A page over any root: a wall of pictures to filter, search and mark, and one image's whole history."""
