"""Workers of known skill answer a study: a rehearsal, and the ground on which the statistics are tested."""
