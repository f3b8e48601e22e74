"""Tables as people write them: CSV with commas, semicolons (Excel in much of Europe) or tabs; times as people do."""

import csv
import io
import math
from pathlib import Path

import pandas as pd

from affetto.errors import CorpusError

SEPARATORS = ",;\t"


def read(path: Path, expected: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The column names, and every row with its number in the file; all cells are stripped text.

    Args:
        path: the CSV, UTF-8 with or without a byte-order mark.
        expected: what errors say was expected.

    Raises:
        CorpusError: if it is not such a table. Rows are counted as in a spreadsheet: the first under the header is 2.
    """
    if not path.is_file():
        raise CorpusError(f"table: {path} is not a file; expected e.g. {expected}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"table: {path} is not UTF-8 text; save it as 'CSV UTF-8'") from error
    separator = max(SEPARATORS, key=text.split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    lines: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                lines.append((reader.line_num, cells))
    except csv.Error as error:
        raise CorpusError(f"table: {path}, row {reader.line_num}: not CSV ({error})") from error
    if not lines:
        raise CorpusError(f"table: {path} is empty; expected e.g. {expected}")
    columns = lines[0][1]
    if len(set(columns)) < len(columns):
        raise CorpusError(f"table: {path} names a column twice; found {', '.join(columns)}")
    for number, cells in lines[1:]:
        if len(cells) != len(columns):
            found = f"{len(cells)} cells; expected {len(columns)}, for {', '.join(columns)}"
            raise CorpusError(f"table: {path}, row {number}: has {found}")
    return columns, [(number, dict(zip(columns, cells, strict=True))) for number, cells in lines[1:]]


def seconds(cell: str, where: str) -> float | None:
    """Seconds in a cell: "1.5", "1,5" or audformat's "0 days 00:00:01.5"; None if it is empty.

    Raises:
        CorpusError: if it is none of these; `where` says which cell.
    """
    if cell in ("", "NaT"):
        return None
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        try:
            value = pd.Timedelta(cell).total_seconds()
        except ValueError as error:
            raise CorpusError(f"{where}: '{cell}' is not a time; expected seconds such as 1.5") from error
    if not 0 <= value < math.inf:
        raise CorpusError(f"{where}: '{cell}' is not a time; expected seconds from 0 on")
    return value
