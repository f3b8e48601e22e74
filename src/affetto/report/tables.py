"""Text with a little structure, and tables of it: written once, shown as Markdown and as HTML.

A text is a tuple of pieces; a plain string is shown as it is, whatever it holds, and the kinds below say how else.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from markupsafe import Markup, escape

from affetto.metrics import Undefined

Text = tuple[str, ...]

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


class Code(str):
    """A name that a program knows: a row, a protocol, a file."""


class Strong(str):
    """What is to be seen first."""


class Detail(str):
    """What belongs to the number before it and is smaller: its interval, its deviation."""


class Link(str):
    """Words that lead somewhere.

    Args:
        words: what is shown.
        target: an anchor or a relative path.
    """

    target: str

    def __new__(cls, words: str, target: str) -> "Link":
        """The words, with their target."""
        self = super().__new__(cls, words)
        self.target = target
        return self


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        columns: their heads.
        rows: texts, as many as columns each; the first names the row.
        caption: what it shows; empty if the words around it say so.
        words: columns, from 0, that hold words; the others hold numbers and are set flush right.
        soft: rows that are not ours, and are shown more quietly.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    caption: str = ""
    words: tuple[int, ...] = (0,)
    soft: tuple[int, ...] = field(default=())


def markdown(text: str | Text) -> str:
    """A text in Markdown, on one line.

    Example:
        >>> markdown((Code("cnn"), " says <", Strong("fear"), ">"))
        '`cnn` says &lt;**fear**&gt;'
    """
    pieces = []
    for piece in (text,) if isinstance(text, str) else text:
        plain = _markdown_escaped(piece)
        if isinstance(piece, Code):
            plain = f"`{piece}`" if re.fullmatch(r"[\w.+@/ -]+", piece) else plain
        elif isinstance(piece, Strong):
            plain = f"**{plain}**"
        elif isinstance(piece, Detail):
            plain = f" {plain}" if plain[:1] in "[(" else f" ({plain})"
        elif isinstance(piece, Link):
            plain = f"[{plain}]({piece.target})"
        pieces.append(plain)
    return "".join(pieces).strip()


def html(text: str | Text) -> Markup:
    """A text in HTML.

    Example:
        >>> html((Code("cnn"), " says <", Strong("fear"), ">"))
        Markup('<code>cnn</code> says &lt;<strong>fear</strong>&gt;')
    """
    pieces = []
    for piece in (text,) if isinstance(text, str) else text:
        plain = escape(str(piece))
        if isinstance(piece, Code):
            plain = Markup("<code>{}</code>").format(plain)
        elif isinstance(piece, Strong):
            plain = Markup("<strong>{}</strong>").format(plain)
        elif isinstance(piece, Detail):
            whole = " whole" if piece.startswith("[") else ""
            plain = Markup(' <span class="detail{}">{}</span>').format(whole, plain)
        elif isinstance(piece, Link):
            plain = Markup('<a href="{}">{}</a>').format(piece.target, plain)
        pieces.append(plain)
    return Markup("").join(pieces)


def markdown_table(table: Table) -> str:
    """A table in Markdown, without its caption."""
    rule = ["---" if number in table.words else "---:" for number in range(len(table.columns))]
    lines = [[markdown(column) for column in table.columns], rule]
    lines += [[markdown(cell) for cell in row] for row in table.rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def listed(names: Iterable[str], last: str = "and") -> str:
    """Names as a sentence has them.

    Example:
        >>> listed(["03", "08", "09"])
        '03, 08 and 09'
    """
    names = list(names)
    return f" {last} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def coded(names: Iterable[str], said: Mapping[str, str] = MappingProxyType({})) -> Text:
    """Names that a program knows, with what is said of each; a dash for none.

    Example:
        >>> markdown(coded(["cnn", "acrnn"], {"cnn": " 1 of 3"}))
        '`cnn` 1 of 3, `acrnn`'
    """
    pieces = [piece for name in names for piece in (", ", Code(name), said.get(name, ""))]
    return tuple(pieces[1:]) or (DASH,)


@dataclass(frozen=True)
class Unit:
    """How the scores of a task are printed.

    Args:
        factor: from the score to what is printed.
        digits: of a score.
        interval_digits: of the ends of an interval.
        points: what a difference is counted in.
        name: said once, in captions.
    """

    factor: float
    digits: int
    interval_digits: int
    points: str
    name: str

    def score(self, value: float) -> Text:
        """A score, or a dash with the reason why there is none."""
        if math.isnan(value):
            return dash(value)
        return (f"{self.factor * value:.{self.digits}f}",)

    def interval(self, ends: tuple[float, float]) -> Text:
        """An interval, or a dash with the reason why there is none."""
        if math.isnan(ends[0]):
            return (Detail(f"[{' '.join(dash(ends[0]))}]"),)
        low, high = (f"{self.factor * end:.{self.interval_digits}f}" for end in ends)
        return (Detail(f"[{low}, {high}]"),)

    def difference(self, value: float, digits: int | None = None) -> str:
        """A difference with its sign.

        Example:
            >>> PER_CENT.difference(-0.0896), PER_CENT.difference(0.0)
            ('−8.96', '0.00')
        """
        if math.isnan(value):
            return " ".join(dash(value))
        text = f"{abs(self.factor * value):.{self.digits if digits is None else digits}f}"
        sign = "" if not float(text) else "+" if value > 0 else MINUS
        return f"{sign}{text}"


PER_CENT = Unit(100, 2, 1, "points", "per cent")
PLAIN = Unit(1, 3, 2, "", "a correlation, from \N{MINUS SIGN}1 to 1")


def unit(task: str) -> Unit:
    """How the scores of a task are printed."""
    return PER_CENT if task == "categories" else PLAIN


def dash(value: float) -> Text:
    """In place of a number that is not defined: a dash, with the reason if it is known.

    Example:
        >>> dash(Undefined("no clips"))
        ('–', '(no clips)')
    """
    return (DASH, Detail(f"({value.reason})")) if isinstance(value, Undefined) else (DASH,)


def p_value(value: float) -> str:
    """A p-value as it is read.

    Example:
        >>> p_value(0.001953125), p_value(0.0421), p_value(0.5), p_value(1e-9)
        ('0.002', '0.042', '0.50', '< 0.001')
    """
    if math.isnan(value):
        return " ".join(dash(value))
    if value < 0.0005:
        return "< 0.001"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def plural(number: int, one: str, many: str) -> str:
    """A number with its noun.

    Example:
        >>> plural(1, "clip", "clips"), plural(2, "clip", "clips")
        ('1 clip', '2 clips')
    """
    return f"{number} {one if number == 1 else many}"


def anchor(name: str) -> str:
    """A name as an id in a page; different names keep different ids.

    Example:
        >>> anchor("emodb-loso10-v1"), anchor('a"b')
        ('emodb-loso10-v1', 'a-22-b')
    """
    return re.sub(r"[^\w-]", lambda match: f"-{ord(match[0]):x}-", name, flags=re.ASCII)


def _markdown_escaped(piece: str) -> str:
    plain = " ".join(str(piece).split("\n")).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[|`*\\]|\](?=[(\[:])|(?<!\w)_|_(?!\w)", lambda match: f"&#{ord(match[0])};", plain)
