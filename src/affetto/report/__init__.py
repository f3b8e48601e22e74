"""From results files to what people read: a report, pictures, and the tables of the READMEs.

sections      results files, gathered so that only what may be compared stands together
literature    what papers say, from literature.yaml
comparisons   row against row, and the leakage bill
tables        text and tables, as Markdown and HTML
scoreboards   every table of our own numbers
exhibits      tables of papers beside them
figures       every picture of results
confidence    pictures of how far a model is to be trusted
learning      pictures of a training
document      chapters of paragraphs, tables and pictures
matrix        rows across corpora
served        every row by groups of speakers
across        the chapter on rows across corpora
planned       what the experiments that ship ask for and is not there
reproduction  a paper, section by section, beside what we measured
chapters      every other sentence of the report
pages         REPORT.md and report.html
markers       tables in other Markdown files
"""

from affetto.report.comparisons import compare
from affetto.report.confidence import confidence_figure
from affetto.report.figures import confusion_figure, error_figure, misheard_figure, residual_figure
from affetto.report.learning import curve_figure, frames_figure
from affetto.report.markers import fill
from affetto.report.pages import write
from affetto.report.planned import Asked
from affetto.report.scoreboards import called
from affetto.report.sections import gather, read

__all__ = [
    "Asked",
    "called",
    "compare",
    "confidence_figure",
    "confusion_figure",
    "curve_figure",
    "error_figure",
    "fill",
    "frames_figure",
    "gather",
    "misheard_figure",
    "read",
    "residual_figure",
    "write",
]
