"""Prolific and any panel: participants come by a study link, or by an open invitation, and are paid by submission."""
