import base64
import dataclasses
import hashlib
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from affetto import audio, palette, views
from affetto.errors import ConfigError
from affetto.recognizer import Prediction
from affetto.segments import Timeline, Utterance
from affetto.views import write_page

VENDOR = Path(views.__file__).parent / "vendor"
LABELS = ("anger", "neutral", "sadness")
SHADOW = "document.querySelector('#wave > div').shadowRoot"
EVIL = "</script><script>alert('heard')</script>"


def heard(emotion: str, confidence: float = 0.8) -> Prediction:
    rest = (1 - confidence) / (len(LABELS) - 1)
    return Prediction("", 0, 1, {label: confidence if label == emotion else rest for label in LABELS})


@pytest.fixture
def call(tmp_path) -> Timeline:
    """Six seconds of two speakers, with a file to it: a tone that rises."""
    path = tmp_path / "call & co.wav"
    time = np.arange(6 * 16_000) / 16_000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * (200 + 50 * time) * time), 16_000)
    said = (
        Utterance(0.5, 1.5, speaker="anna", prediction=heard("anger"), words=f"Who closed it? {EVIL}"),
        Utterance(2.0, 2.2, speaker="anna", reason="too_short"),
        Utterance(2.5, 3.0, speaker="ben", prediction=heard("sadness", 0.5)),
        Utterance(4.0, 5.5, speaker="anna", prediction=heard("neutral")),
    )
    return Timeline(str(path), 6.0, said, "model", LABELS)


def written(timeline: Timeline, folder: Path, **settings: Any) -> str:
    write_page(timeline, folder / "page.html", **settings)
    return (folder / "page.html").read_text(encoding="utf-8")


def test_the_page_holds_everything_and_asks_nobody(call, tmp_path):
    page = written(call, tmp_path)
    assert re.search(r'http-equiv="Content-Security-Policy" content="default-src \'none\';', page)
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"<link|<img|<iframe|@import|url\(|\bsrc=", outside)
    assert "Copyright (c) 2012-2023, katspaugh and contributors" in page
    assert "Article 5(1)(f) of the EU AI Act" in page
    assert 'id="sound"' not in page


def test_what_is_not_to_be_trusted_says_why(call, tmp_path):
    assert "noisy" not in written(call, tmp_path)
    first, *rest = call.utterances
    doubtful = replace(first, prediction=replace(first.prediction, flags=("noisy",), reliable=False))
    assert '<span class="soft">noisy</span>' in written(replace(call, utterances=(doubtful, *rest)), tmp_path)


def test_words_and_names_are_text_and_never_code(call, tmp_path):
    page = written(call, tmp_path)
    assert EVIL not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(&#39;heard&#39;)" in page
    assert "<h1>call &amp; co.wav</h1>" in page


def test_what_is_vendored_is_what_it_says():
    listed = dict(
        re.findall(r"^ +([0-9a-f]{64})  (\S+)$", (VENDOR / "README.md").read_text(), flags=re.MULTILINE)[::-1]
    )
    found = {hashlib.sha256(path.read_bytes()).hexdigest(): path.name for path in VENDOR.glob("*.js")}
    assert listed == found
    assert {path.name for path in VENDOR.iterdir()} == {"LICENSE", "README.md", *found.values()}
    for path in VENDOR.glob("*.js"):
        assert "</script" not in path.read_text()


def test_the_sound_inside_is_the_recordings(call, tmp_path):
    page = written(call, tmp_path, with_audio=True)
    (inside,) = re.findall(r'<script type="text/plain" id="sound">([^<]+)</script>', page)
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(inside)), dtype="float32")
    original = audio.read(call.file).waveform
    assert rate == 16_000
    assert len(samples) == pytest.approx(len(original), abs=3000)
    shared = min(len(samples), len(original))
    assert np.corrcoef(samples[:shared], original[:shared])[0, 1] > 0.99


def test_sound_of_hours_does_not_go_inside(call, tmp_path):
    with pytest.raises(ConfigError, match=r"--with-audio: .* lasts 3:00:00, and a page holds 2:00:00; without it"):
        write_page(dataclasses.replace(call, seconds=3 * 3600.0), tmp_path / "page.html", with_audio=True)
    assert not (tmp_path / "page.html").exists()


def test_ratings_damage_and_nothing_at_all_are_pages_too(call, tmp_path):
    rated = Utterance(0, 2, prediction=Prediction("", 0, 2, dimensions={"valence": 2.5}))
    page = written(dataclasses.replace(call, utterances=(rated,), labels=("valence",), gives="dimensions"), tmp_path)
    assert "Rated on average: valence 2.50" in page
    assert "Nobody was found to speak for 0:06." in written(dataclasses.replace(call, utterances=()), tmp_path)
    assert "The recording is truncated." in written(dataclasses.replace(call, damage="is truncated"), tmp_path)


# In a browser


@pytest.fixture(scope="module")
def chromium(launch) -> Any:
    return launch()


class Reader:
    """Somebody with the page open and without a network."""

    def __init__(self, browser: Any, path: Path, *, width: int = 1280, scheme: str = "light") -> None:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
        self.page = context.new_page()
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.until(f"{SHADOW}.querySelector('[data-number]')")

    def js(self, code: str) -> Any:
        return self.page.evaluate(code)

    def until(self, condition: str) -> None:
        """Wait, for 15 s at most. Playwright's own way of waiting evaluates text, which the page's policy forbids."""
        for _ in range(300):
            if self.js(f"Boolean({condition})"):
                return
            self.page.wait_for_timeout(50)
        pytest.fail(f"never: {condition}")

    @property
    def time(self) -> float:
        return float(self.js("document.getElementById('audio').currentTime"))

    def wait_until_it_stops(self) -> None:
        self.until("document.getElementById('audio').currentTime > 0")
        self.until("document.getElementById('audio').paused")

    @property
    def current(self) -> str | None:
        found = self.js("document.querySelector('[aria-current]')?.id")
        return None if found is None else str(found)

    def band(self, number: int) -> Any:
        return self.page.locator(f"[data-number='{number}']")


@pytest.fixture
def reader(chromium, call, tmp_path) -> Reader:
    written(call, tmp_path, with_audio=True)
    reader = Reader(chromium, tmp_path / "page.html")
    reader.until("document.getElementById('audio').readyState >= 2")
    return reader


def test_a_click_on_a_band_plays_the_stretch_and_no_more(reader):
    reader.band(2).click()
    reader.wait_until_it_stops()
    assert reader.time == pytest.approx(3.0, abs=0.25)
    assert reader.current == "u2"
    assert reader.faults == []
    assert [url for url in reader.asked if not url.startswith(("file:", "blob:"))] == []


def test_the_list_and_the_keys_play_too(reader):
    page = reader.page
    page.locator("#u2 button").click()
    reader.wait_until_it_stops()
    assert reader.time == pytest.approx(3.0, abs=0.25)
    page.keyboard.press("ArrowLeft")
    assert reader.current == "u1"
    page.keyboard.press("ArrowLeft")
    assert reader.current == "u0"
    reader.until("!document.getElementById('audio').paused")
    page.locator("body").click(position={"x": 3, "y": 3})
    page.keyboard.press("Space")
    reader.until("document.getElementById('audio').paused")
    page.locator("#u3 button").focus()
    page.keyboard.press("Enter")
    reader.until("document.getElementById('audio').currentTime > 4")
    assert reader.current == "u3"
    assert reader.faults == []


def test_every_part_can_be_reached_by_tab(reader):
    reached = []
    for _ in range(12):
        reader.page.keyboard.press("Tab")
        reached.append(reader.js("document.activeElement.id || document.activeElement.closest('li')?.id"))
    assert [name for name in reached if name][:8] == ["before", "play", "after", "zoom", "u0", "u1", "u2", "u3"]


def test_bands_lie_where_they_were_heard_also_when_zoomed(reader):
    def places() -> np.ndarray:
        """Of each band: left edge and width in parts of the whole, top in pixels, and the whole's width."""
        found = reader.js(
            f"""[...{SHADOW}.querySelectorAll('[data-number]')].map((band) => {{
                const all = band.parentElement.getBoundingClientRect(), own = band.getBoundingClientRect();
                return [(own.left - all.left) / all.width, own.width / all.width, own.top - all.top, all.width]; }})"""
        )
        return np.array(found)

    expected = [[start / 6, length / 6] for start, length in ((0.5, 1), (2, 0.2), (2.5, 0.5), (4, 1.5))]
    whole = places()
    np.testing.assert_allclose(whole[:, :2], expected, atol=2e-3)
    assert list(whole[:, 2] > 50) == [False, False, True, False]  # below is ben
    reader.js("(z => { z.value = 1; z.dispatchEvent(new Event('input')); })(document.getElementById('zoom'))")
    reader.page.wait_for_timeout(300)
    zoomed = places()
    assert zoomed[0, 3] == pytest.approx(2 * whole[0, 3], rel=0.01)
    np.testing.assert_allclose(zoomed[:, :2], expected, atol=2e-3)
    red, green, blue = (int(palette.colour("anger")[i : i + 2], 16) for i in (1, 3, 5))
    look = reader.js(f"getComputedStyle({SHADOW}.querySelector('[data-number]')).backgroundImage")
    assert f"rgb({red}, {green}, {blue}) 18%" in look


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phones_and_desks_in_the_light_and_in_the_dark(width, scheme, chromium, call, tmp_path):
    written(call, tmp_path)
    reader = Reader(chromium, tmp_path / "page.html", width=width, scheme=scheme)
    assert reader.js("document.documentElement.scrollWidth") <= width
    paper, ink = (reader.js(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (paper, ink)]
    assert (light[0] > light[1]) == (scheme == "light")
    small = reader.js("[...document.querySelectorAll('button')].map(b => b.getBoundingClientRect().height)")
    assert min(small) >= 24  # WCAG 2.2, target size
    assert reader.faults == []


def test_without_sound_inside_the_reader_chooses_the_recording(chromium, call, tmp_path):
    written(call, tmp_path)
    reader = Reader(chromium, tmp_path / "page.html")
    reader.band(2).click()
    assert reader.page.locator("#said").inner_text() == "At 0:02. Choose the recording to hear it."
    assert reader.current == "u2"
    reader.page.locator("#choose").set_input_files(call.file)
    reader.until("document.getElementById('audio').readyState >= 2")
    reader.band(2).click()
    reader.wait_until_it_stops()
    assert reader.time == pytest.approx(3.0, abs=0.25)
    soundfile.write(tmp_path / "other.wav", np.zeros(16_000), 16_000)
    reader.page.locator("#choose").set_input_files(tmp_path / "other.wav")
    reader.until("document.getElementById('said').textContent.includes('is it the same?')")
    assert reader.faults == []
