"""Tables in Markdown files that are filled in from the results, between two comments.

    <!-- results: emodb-loso10-v1 -->
    <!-- /results -->

The name is a protocol's id for its short table, `ID full` for all columns, or `CORPUS-bill ROW` for a leakage bill.
"""

import re
from pathlib import Path

from affetto.errors import ConfigError, not_called
from affetto.files import write_whole
from affetto.report import scoreboards
from affetto.report.comparisons import bills
from affetto.report.sections import Gathered, gather
from affetto.report.tables import Table, markdown_table

OPENING = re.compile(r"<!-- results: (?P<name>.+?) -->")
CLOSING = "<!-- /results -->"


def fill(path: Path, results: Path) -> bool:
    """Rewrite the tables of a Markdown file that stand between markers.

    Args:
        path: of the file.
        results: folder of results.

    Returns:
        Whether anything changed; if not, the file was left as it was.

    Raises:
        ConfigError: if the file has no markers, one is not closed, or one names a table that there is none of; or if a
            results file is damaged, as a table might lack its row.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    gathered = gather(results)
    if gathered.damaged:
        raise ConfigError(f"{path}: was not filled in, as files are damaged: {'; '.join(gathered.damaged)}")
    filled = filled_in(text, named(gathered), path)
    if filled == text:
        return False
    write_whole(path, filled.encode())
    return True


def named(gathered: Gathered) -> dict[str, Table]:
    """Every table that a marker can name."""
    found: dict[str, Table] = {}
    for section in gathered.sections:
        found[section.title] = scoreboards.short(section)
        found[f"{section.title} full"] = scoreboards.full(section)
    for bill in bills(gathered.sections):
        found[f"{bill.corpus}-bill {bill.row}"] = scoreboards.bill(bill)
    return found


def filled_in(text: str, known: dict[str, Table], path: Path) -> str:
    """The text with the tables that its markers name.

    Raises:
        ConfigError: as `fill`.
    """
    pieces: list[str] = []
    position = 0
    openings = list(OPENING.finditer(text))
    if not openings:
        raise ConfigError(f"{path}: has no marker; expected e.g. <!-- results: {next(iter(known), 'NAME')} -->")
    for opening, following in zip(openings, [*openings[1:], None], strict=True):
        end = text.find(CLOSING, opening.end(), following.start() if following else len(text))
        if end < 0:
            raise ConfigError(f"{path}: {opening[0]} is not closed; expected {CLOSING} after the table")
        if opening["name"] not in known:
            raise ConfigError(f"{path}: {not_called(opening['name'], known, 'table')}")
        pieces += [text[position : opening.end()], f"\n\n{markdown_table(known[opening['name']])}\n\n"]
        position = end
    return "".join([*pieces, text[position:]])
