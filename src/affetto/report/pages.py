"""The report as files: `REPORT.md` with its pictures, and one page of HTML that needs nothing beside it."""

from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from affetto.errors import ConfigError
from affetto.files import write_whole
from affetto.report import tables
from affetto.report.chapters import document
from affetto.report.document import Document, Picture, to_markdown
from affetto.report.planned import Asked
from affetto.report.sections import gather
from affetto.report.tables import plural

FOLDER = Path(__file__).parent
FIGURES = "figures"
"""Folder of pictures beside `REPORT.md`."""


def write(results: Path, out: Path | None = None, asked: Sequence[Asked] = ()) -> list[Path]:
    """Write the report of a folder of results.

    Args:
        results: as `affetto benchmark` writes it.
        out: where `REPORT.md`, `report.html` and `figures/` go; None: into `results`.
        asked: rows whose absence the report tells, such as `evaluation.asked()`.

    Returns:
        The files that were written, the two reports first. The same results give the same bytes.

    Raises:
        ConfigError: if there are no results; or, after everything else was written, if files were left out because
            they are damaged, each with its reason.
    """
    gathered = gather(results)
    out = results if out is None else out
    (out / FIGURES).mkdir(parents=True, exist_ok=True)
    report = document(gathered, results, out, asked)
    contents = {out / "REPORT.md": to_markdown(report, FIGURES), out / "report.html": to_html(report)}
    for picture in report.pictures():
        if picture.file is None:
            contents[out / FIGURES / f"{picture.name}.svg"] = picture.svg(themed=False)
    for path, text in contents.items():
        write_whole(path, text.encode())
    if report.left_out:
        number = plural(len(report.left_out), "thing", "things")
        raise ConfigError(f"{out / 'REPORT.md'}: was written without {number}: {'; '.join(report.left_out)}")
    return list(contents)


def to_html(report: Document) -> str:
    """A report as one page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["text"] = tables.html
    return environment.get_template("report.html.jinja").render(
        report=report, style=Markup((FOLDER / "report.css").read_text(encoding="utf-8")), svg=_svg
    )


def _svg(picture: Picture) -> Markup:
    """A drawing that a screen reader calls by its words."""
    opening, rest = picture.svg(themed=True).split(">", 1)
    words = Markup(' role="img" aria-labelledby="{0}-title"><title id="{0}-title">{1}</title>')
    return Markup(opening) + words.format(picture.name, picture.alt) + Markup(rest)
