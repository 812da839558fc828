"""Arguments that several verbs share."""

from typing import Annotated

import typer

Root = Annotated[str, typer.Argument(help="The archive's root: a folder, s3://…, any fsspec URL.")]
