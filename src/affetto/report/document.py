"""A report before it is shown: chapters of paragraphs, tables and pictures, and how they look in Markdown."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from matplotlib.figure import Figure

from affetto.report import figures
from affetto.report.tables import Table, Text, markdown, markdown_table


@dataclass(frozen=True)
class Paragraph:
    """Sentences; `loud` for what must not be missed."""

    text: Text
    loud: bool = False
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Points:
    """A list."""

    items: tuple[Text, ...]
    kind: ClassVar[str] = "points"


@dataclass(frozen=True)
class Facts:
    """Terms with what stands for each."""

    items: tuple[tuple[str, Text], ...]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Grid:
    """A table on its own."""

    table: Table
    kind: ClassVar[str] = "table"


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure with its words.

    Args:
        name: of its file, and of the ids inside it.
        figure: as Matplotlib drew it.
        alt: what it shows, for who cannot see it.
        caption: below it.
        file: a picture that is there already, which Markdown shows instead; None: one is written.
    """

    name: str
    figure: Figure = field(repr=False)
    alt: str
    caption: Text
    file: str | None = None
    kind: ClassVar[str] = "picture"

    @cached_property
    def drawn(self) -> str:
        """The figure, drawn once for the page and the file."""
        return figures.draw(self.figure)

    def svg(self, *, themed: bool) -> str:
        """For the page, in its colours, or for a file."""
        return figures.svg(self.drawn, themed=themed, name=self.name)


@dataclass(frozen=True)
class Gallery:
    """Small pictures side by side."""

    pictures: tuple[Picture, ...]
    kind: ClassVar[str] = "gallery"


@dataclass(frozen=True)
class Heading:
    """Of a part of a chapter."""

    text: Text
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Folded:
    """What the page shows when asked to.

    Args:
        title: always there.
        blocks: the rest.
        anchor: an id; empty if nothing leads here.
    """

    title: Text
    blocks: "tuple[Block, ...]"
    anchor: str = ""
    kind: ClassVar[str] = "folded"


Block = Paragraph | Points | Facts | Grid | Picture | Gallery | Heading | Folded


@dataclass(frozen=True)
class Chapter:
    """A part of the report that stands in its table of contents.

    Args:
        title: above it.
        anchor: its id.
        blocks: what it holds.
    """

    title: Text
    anchor: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A report.

    Args:
        title: of the whole.
        lede: the first sentences.
        chapters: in order.
        footer: the last sentence.
        left_out: what could not be used, with the reason.
    """

    title: str
    lede: Text
    chapters: tuple[Chapter, ...]
    footer: Text
    left_out: tuple[str, ...] = ()

    def pictures(self) -> Iterator[Picture]:
        """All pictures, in order."""
        for chapter in self.chapters:
            yield from _pictures(chapter.blocks)


def to_markdown(document: Document, folder: str) -> str:
    """A report in Markdown.

    Args:
        document: the report.
        folder: of the pictures, seen from the file.
    """
    lines = [f"# {document.title}", markdown(document.lede)]
    lines.append("\n".join(f"* [{markdown(chapter.title)}](#{chapter.anchor})" for chapter in document.chapters))
    for chapter in document.chapters:
        lines += [f'<a id="{chapter.anchor}"></a>', f"## {markdown(chapter.title)}"]
        lines += _blocks(chapter.blocks, folder, level=3)
    return "\n\n".join([*lines, "---", markdown(document.footer)]) + "\n"


def _blocks(blocks: tuple[Block, ...], folder: str, *, level: int) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        if isinstance(block, Paragraph):
            lines.append(f"> {markdown(block.text)}" if block.loud else markdown(block.text))
        elif isinstance(block, Points):
            lines.append("\n".join(f"* {markdown(item)}" for item in block.items))
        elif isinstance(block, Facts):
            lines.append("\n".join(f"* **{term}**: {markdown(text)}" for term, text in block.items))
        elif isinstance(block, Grid):
            lines += [markdown(block.table.caption)] if block.table.caption else []
            lines.append(markdown_table(block.table))
        elif isinstance(block, Picture):
            lines.append(f"![{markdown((block.alt,))}]({folder}/{block.name}.svg)")
            lines.append(f"*{markdown(block.caption)}*")
        elif isinstance(block, Gallery):
            files = [(each.caption, each.file or f"{folder}/{each.name}.svg") for each in block.pictures]
            linked = ", ".join(f"[{markdown(caption)}]({file})" for caption, file in files)
            lines.append(f"As pictures: {linked}.")
        elif isinstance(block, Heading):
            lines.append(f"{'#' * level} {markdown(block.text)}")
        else:
            lines += [f'<a id="{block.anchor}"></a>'] if block.anchor else []
            lines.append(f"{'#' * level} {markdown(block.title)}")
            lines += _blocks(block.blocks, folder, level=level + 1)
    return lines


def _pictures(blocks: tuple[Block, ...]) -> Iterator[Picture]:
    for block in blocks:
        if isinstance(block, Picture):
            yield block
        elif isinstance(block, Gallery):
            yield from block.pictures
        elif isinstance(block, Folded):
            yield from _pictures(block.blocks)
