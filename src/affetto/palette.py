"""One colour an emotion, the same in every picture and page.

Chosen by a search for the set whose nearest two are farthest apart for all of these eyes: with full colour vision, and
without the cones for long, middle or short waves (simulated after Machado et al., 2009). Distances in CAM02-UCS are at
least 20 between the emotions that corpora share (those of EMO-DB and RAVDESS), where 1 is just noticeable, and at least
10 between any two. Hue follows custom where it could. A name always stands with the colour.
"""

COLOURS = {
    "anger": "#6c1d0c",
    "boredom": "#a75e11",
    "calm": "#204556",
    "contempt": "#e977a5",
    "disgust": "#5cf0bb",
    "excitement": "#855667",
    "fear": "#8720c3",
    "frustration": "#a97e57",
    "happiness": "#d3a540",
    "neutral": "#848484",
    "other": "#393939",
    "sadness": "#7295f1",
    "surprise": "#fbfa13",
}
"""Category -> sRGB."""


def colour(emotion: str) -> str:
    """The colour of a category; a class of a user's own has that of `other`.

    Example:
        >>> colour("anger"), colour("irony")
        ('#6c1d0c', '#393939')
    """
    return COLOURS.get(emotion, COLOURS["other"])


def on(background: str) -> str:
    """Black or white, whichever is easier to read on a colour (WCAG 2.2, relative luminance).

    Example:
        >>> on("#6c1d0c"), on("#fbfa13")
        ('#ffffff', '#000000')
    """
    parts = [int(background[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"
