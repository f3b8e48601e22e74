"""`affetto timeline` with a summary, a picture and a page; that what they show is right is tested beside each."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from matplotlib import image

from affetto import cli

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture
def call(capsys, monkeypatch, tmp_path) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AFFETTO_CACHE", str(tmp_path / "cache"))

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["affetto", "timeline", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def talk(tmp_path) -> Path:
    """Two of the samples, one in each channel."""
    left, right = (soundfile.read(SAMPLES / f"{name}.wav")[0] for name in ("12b02Wd", "14a04Tc"))
    length = min(len(left), len(right))
    soundfile.write(tmp_path / "talk.wav", list(zip(left[:length], right[:length], strict=True)), 16_000)
    return tmp_path / "talk.wav"


def test_all_of_them_at_once_beside_the_timeline(call, talk, tmp_path):
    options = ("--channels", "split", "--summary", "words", "--picture", "t.png", "--page", "t.html", "--with-audio")
    code, out, err = call(talk, *options, "--out", "t.csv")
    assert (code, err) == (0, "")
    assert "channel 0: 0:0" in out
    assert "sounds anger" in out
    assert "sounds sadness" in out
    assert "Article 5(1)(f) of the EU AI Act" in out
    assert image.imread(tmp_path / "t.png").ndim == 3
    assert 'id="sound"' in (tmp_path / "t.html").read_text(encoding="utf-8")
    assert (tmp_path / "t.csv").read_text().startswith("file,start,end,channel")


def test_the_summary_of_several_is_one_json(call, talk):
    code, out, _ = call(talk, SAMPLES / "12b02Wd.wav", "--summary", "json")
    assert code == 0
    found = json.loads(out)
    assert [Path(one["file"]).name for one in found] == ["talk.wav", "12b02Wd.wav"]
    assert found[1]["voices"][0]["shares"]["anger"] > 0.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--summary", "prose"), "--summary prose: expected words or json"),
        (("--summary", "words", "--format", "csv"), "would both go to stdout; give --out"),
        (("--with-audio",), "--with-audio: there is no page to put it into; give --page"),
        (("--picture", "t.jpg"), "--picture t.jpg: expected a name that ends in .png or .svg"),
        (("--page", "nowhere/t.html"), "--page nowhere/t.html: there is no folder nowhere"),
        ((SAMPLES / "12b02Wd.wav", "--page", "t.html"), "--page t.html: is of one recording, and here are 2"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_heard(options, words, call, talk):
    code, out, err = call(talk, *options)
    assert (code, out) == (1, "")
    assert words in err
    assert err.count("\n") == 1
