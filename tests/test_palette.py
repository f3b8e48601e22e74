import itertools

import numpy as np
import pytest
from colorspacious import cspace_convert

from affetto import corpora, labels, palette

EYES = (None, "deuteranomaly", "protanomaly", "tritanomaly")


def seen(colour: str, eyes: str | None) -> np.ndarray:
    """Coordinates in CAM02-UCS as others see it, by colorspacious."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    if eyes is not None:
        space = {"name": "sRGB1+CVD", "cvd_type": eyes, "severity": 100}
        rgb = np.clip(cspace_convert(rgb, space, "sRGB1"), 0, 1)
    return cspace_convert(rgb, "sRGB1", "CAM02-UCS")


def nearest(emotions: set[str]) -> float:
    return min(
        float(np.linalg.norm(seen(palette.colour(one), eyes) - seen(palette.colour(other), eyes)))
        for one, other in itertools.combinations(sorted(emotions), 2)
        for eyes in EYES
    )


def test_every_category_has_a_colour():
    assert tuple(palette.COLOURS) == labels.CATEGORIES


def test_no_eyes_take_one_emotion_for_another():
    shared = {emotion for name in ("emodb", "ravdess") for emotion in corpora.get(name).info.categories}
    assert len(shared) == 9
    assert nearest(shared) >= 20
    assert nearest(set(palette.COLOURS)) >= 10


@pytest.mark.parametrize("emotion", labels.CATEGORIES)
def test_words_on_a_colour_can_be_read(emotion):
    """The contrast that WCAG 2.2 asks for, by lightness as colorspacious has it."""
    background, ink = palette.colour(emotion), palette.on(palette.colour(emotion))
    light = [
        cspace_convert([int(c[i : i + 2], 16) for i in (1, 3, 5)], "sRGB255", "XYZ100")[1] for c in (background, ink)
    ]
    assert (max(light) + 5) / (min(light) + 5) >= 4.5
