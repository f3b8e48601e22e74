"""Timelines as tiers: Praat's TextGrid (long format) and ELAN's annotation format 3.0.

Each voice has a tier for what was heard, one for how sure that is, and one for what is said, where anybody listened for
words. A tier holds one thing at a time: where utterances of a voice overlap, as a diarisation may have them, the later
one begins where the earlier one ends.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from affetto import __version__
from affetto.segments.formats.captions import answer
from affetto.segments.utterance import Timeline, Utterance

EPOCH = "1970-01-01T00:00:00+00:00"
"""ELAN's files are dated; ours are the same for the same timeline."""

SCHEMA_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"


@dataclass(frozen=True)
class Tier:
    """Intervals with text: (start, end, text) in whole milliseconds, in order, without overlap."""

    name: str
    intervals: list[tuple[int, int, str]]


def textgrid(timeline: Timeline) -> bytes:
    """Praat's TextGrid; between utterances its intervals are empty."""
    end = _milliseconds(timeline.seconds)
    all_tiers = list(tiers(timeline))
    end = max([end, *(interval[1] for tier in all_tiers for interval in tier.intervals)])
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0", f"xmax = {end / 1000:.3f}", "tiers? <exists>", f"size = {len(all_tiers)}", "item []:"]
    for number, tier in enumerate(all_tiers, start=1):
        filled = list(_filled(tier, end))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(tier.name)}"]
        lines += ["        xmin = 0", f"        xmax = {end / 1000:.3f}", f"        intervals: size = {len(filled)}"]
        for place, (first, last, text) in enumerate(filled, start=1):
            lines += [f"        intervals [{place}]:", f"            xmin = {first / 1000:.3f}"]
            lines += [f"            xmax = {last / 1000:.3f}", f"            text = {_quoted(text)}"]
    return ("\n".join(lines) + "\n").encode()


def eaf(timeline: Timeline) -> bytes:
    """ELAN's annotation format."""
    root = ElementTree.Element("ANNOTATION_DOCUMENT", AUTHOR=f"affetto {__version__}", DATE=EPOCH, FORMAT="3.0")
    root.set("VERSION", "3.0")
    root.set(f"{{{SCHEMA_INSTANCE}}}noNamespaceSchemaLocation", "http://www.mpi.nl/tools/elan/EAFv3.0.xsd")
    header = ElementTree.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    path = Path(timeline.file)
    url = path.resolve().as_uri()
    kind = {".wav": "audio/x-wav", ".mp4": "video/mp4"}.get(path.suffix.lower(), "audio/*")
    ElementTree.SubElement(
        header, "MEDIA_DESCRIPTOR", MEDIA_URL=url, MIME_TYPE=kind, RELATIVE_MEDIA_URL=f"./{path.name}"
    )
    order = ElementTree.SubElement(root, "TIME_ORDER")
    slots = annotations = 0
    for tier in tiers(timeline):
        line = ElementTree.SubElement(root, "TIER", LINGUISTIC_TYPE_REF="default-lt", TIER_ID=tier.name)
        for first, last, text in tier.intervals:
            ends = []
            for time in (first, last):
                slots += 1
                ends.append(f"ts{slots}")
                ElementTree.SubElement(order, "TIME_SLOT", TIME_SLOT_ID=ends[-1], TIME_VALUE=str(time))
            annotations += 1
            place = {"ANNOTATION_ID": f"a{annotations}", "TIME_SLOT_REF1": ends[0], "TIME_SLOT_REF2": ends[1]}
            annotation = ElementTree.SubElement(line, "ANNOTATION")
            ElementTree.SubElement(
                ElementTree.SubElement(annotation, "ALIGNABLE_ANNOTATION", place), "ANNOTATION_VALUE"
            ).text = text
    ElementTree.SubElement(
        root, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID="default-lt", TIME_ALIGNABLE="true", GRAPHIC_REFERENCES="false"
    )
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def tiers(timeline: Timeline) -> Iterator[Tier]:
    """The tiers of a timeline, those of a voice together."""
    for voice in timeline.voices or ("",):
        own = [utterance for utterance in timeline.utterances if utterance.voice == voice]
        places = _places(own)
        prefix = f"{voice}: " if voice else ""
        yield _tier(f"{prefix}emotion", own, places, [_heard(utterance) for utterance in own])
        yield _tier(f"{prefix}confidence", own, places, [_sure(utterance) for utterance in own])
        if any(utterance.words is not None for utterance in own):
            yield _tier(f"{prefix}words", own, places, [" ".join((each.words or "").split()) for each in own])


def _tier(name: str, own: list[Utterance], places: list[tuple[int, int]], texts: list[str]) -> Tier:
    """A tier of what has a text and lasts."""
    rows = zip(places, texts, strict=True)
    return Tier(name, [(first, last, text) for (first, last), text in rows if text and last > first])


def _places(own: list[Utterance]) -> list[tuple[int, int]]:
    """Starts and ends in milliseconds, without overlap."""
    places, free = [], 0
    for utterance in own:
        first = max(free, _milliseconds(utterance.start))
        last = max(first, _milliseconds(utterance.end))
        places.append((first, last))
        free = last
    return places


def _heard(utterance: Utterance) -> str:
    if utterance.prediction is None or not utterance.prediction.probabilities:
        return answer(utterance)
    return utterance.prediction.emotion


def _sure(utterance: Utterance) -> str:
    if utterance.prediction is None or not utterance.prediction.probabilities:
        return ""
    return f"{utterance.prediction.confidence:.3f}"


def _filled(tier: Tier, end: int) -> Iterator[tuple[int, int, str]]:
    """Intervals from 0 to the end, with empty ones between."""
    at = 0
    for first, last, text in tier.intervals:
        if first > at:
            yield at, first, ""
        yield first, last, text
        at = last
    if at < end:
        yield at, end, ""


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
