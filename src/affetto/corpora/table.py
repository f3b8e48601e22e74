"""Your own recordings: any table of labels, as CSV in the shape of audformat.

    file,start,end,emotion,speaker
    calls/monday.wav,0.0,3.2,anger,anna
    calls/monday.wav,3.2,5.9,neutral,ben

Only `file` and `emotion` are needed, or instead of emotions ratings in columns `valence`, `arousal` and `dominance`
(any of them, on the scale that the experiment states). Without `start` and `end` an utterance is the whole file;
without `speaker` nobody is known, and a protocol that keeps speakers apart refuses the corpus. Further columns are
kept, as text. Files are relative to the table's folder, or absolute. Commas, semicolons (Excel in much of Europe) and
tabs separate columns.
"""

import math
from pathlib import Path

import audformat
import pandas as pd

from affetto import labels, tables
from affetto.corpora.base import Corpus, CorpusInfo, register
from affetto.errors import CorpusError

INFO = CorpusInfo(
    name="table",
    title="A table of your own recordings (CSV)",
    language="any",
    licence="that of your recordings",
    source="your own",
    citation="your own",
    layout=("labels.csv with the columns file, emotion and, if known, start, end, speaker",),
)


@register(INFO)
def read(path: Path) -> Corpus:
    """The corpus that a CSV file describes.

    Times are seconds ("1.5"; with semicolons also "1,5") or audformat's ("0 days 00:00:01.5"); an empty end is the end
    of the file. Emotions are brought to their canonical names (`labels.canonical`); speakers stay as written.

    Args:
        path: the CSV, UTF-8 with or without a byte-order mark.

    Returns:
        The corpus; its root is the table's folder. Whether the files exist is for `corpora.check` to say.

    Raises:
        CorpusError: if the table cannot be read, lacks a column, has no rows, or a row is incomplete, ends before it
            starts or repeats another. Rows are counted as in a spreadsheet: the first under the header is row 2.
    """
    columns, rows = tables.read(path, INFO.layout[0])
    rated = [name for name in labels.DIMENSIONS if name in columns]
    required = ("file",) if rated and "emotion" not in columns else ("file", "emotion")
    for needed in required:
        if needed not in columns:
            raise CorpusError(f"table: {path} has no column '{needed}'; found {', '.join(columns)}")
    seen: dict[tuple[str, float, float | None], int] = {}
    kept: list[dict[str, str | float | None]] = []
    for number, row in rows:
        where = f"table: {path}, row {number}"
        for needed in required:
            if not row[needed]:
                raise CorpusError(f"{where}: {needed} is empty; fill it in or remove the row")
        file = row["file"].replace("\\", "/")
        start = tables.seconds(row.get("start", ""), where) or 0.0
        end = tables.seconds(row.get("end", ""), where)
        if end is not None and end <= start:
            raise CorpusError(f"{where}: ends at {end:g} s, not after its start at {start:g} s")
        if (earlier := seen.setdefault((file, start, end), number)) != number:
            raise CorpusError(f"{where} repeats row {earlier}: {file} from {start:g} s; keep one of them")
        speaker = row.get("speaker") or None
        emotion = labels.canonical(row["emotion"]) if "emotion" in row else None
        ratings = {name: _rating(row[name], f"{where}, {name}") for name in rated}
        kept.append({**row, **ratings, "emotion": emotion, "speaker": speaker})
    if not kept:
        raise CorpusError(f"table: {path} has a header but no rows; expected one row an utterance")
    files, starts, ends = zip(*seen, strict=True)
    index = audformat.segmented_index(
        list(files),
        pd.to_timedelta(list(starts), unit="s"),
        pd.to_timedelta([math.nan if end is None else end for end in ends], unit="s"),
    )
    others = [column for column in columns if column not in ("file", "start", "end", "emotion", "speaker")]
    data = {column: [row[column] for row in kept] for column in ("emotion", "speaker", *others)}
    table = pd.DataFrame(data, index=index, dtype=object)
    return Corpus(INFO, path.parent, table.astype(dict.fromkeys(rated, "float64")))


def _rating(text: str, where: str) -> float:
    """A rating as a number; NaN where there is none."""
    try:
        value = float(text.replace(",", ".")) if text else math.nan
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise CorpusError(f"table: {where} is '{text}'; expected a number such as 3.5, or nothing")
    return value
