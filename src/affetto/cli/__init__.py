"""The command `affetto`. Each command imports what it needs when it runs, so that `--help` comes at once."""

import io
import os
import sys
from typing import Annotated

import typer

from affetto import __version__
from affetto.cli import across, catalogue, elsewhere, groups, listen, live, numbers, score, timeline, train, words
from affetto.cli.console import err
from affetto.errors import AffettoError

app = typer.Typer(
    help="Hear emotion in speech.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (
    listen.app,
    words.app,
    score.app,
    timeline.app,
    live.app,
    train.app,
    across.app,
    groups.app,
    numbers.app,
    elsewhere.app,
):
    app.add_typer(commands)
app.add_typer(catalogue.corpora_app, name="corpora")
app.add_typer(catalogue.models_app, name="models")
app.add_typer(catalogue.cache_app, name="cache")
app.add_typer(numbers.protocols_app, name="protocols")


def main() -> None:
    """Run the command line; a mistake of the user's ends in one line on stderr and exit code 1."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")  # file names are bytes, not always text
    try:
        app()
    except AffettoError as error:
        err.print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of stdout has gone (`affetto predict ... | head`); nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    if version:
        print(f"affetto {__version__}")
        raise typer.Exit
