"""What the verbs say that prove something whole."""

from collections.abc import Iterable

import typer


def tell_problems(problems: Iterable[object]) -> int:
    """Prints each as it is found; returns how many there are."""
    count = 0
    for problem in problems:
        count += 1
        typer.echo(str(problem))
    return count


def prove_set_whole(problems: Iterable[object]) -> None:
    """Prints the problems of a set of training data, and exits with 1 where there are any."""
    if count := tell_problems(problems):
        typer.echo(f"{count:,} problems", err=True)
        raise typer.Exit(1)
    typer.echo("the set is whole")
