"""From answers to figures: agreement, consensus, rates with intervals, the verdict."""
