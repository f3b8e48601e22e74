"""Freely licensed music out of Debian's packages of games: tracks -> clips of 4 s at 16 kHz.

    python benchmarks/music.py MUSIC.npz --work FOLDER

Downloads the packages with `apt-get download` (Debian 12; nothing is installed), unpacks them below FOLDER, has
modules rendered by openmpt123 and MIDI by fluidsynth with TimGM6mb (both Debian packages, to be installed), and cuts up
to 24 clips a package, evenly over up to 8 of its tracks. Music, code and package lists stay outside this project; the
licences are those in each package's copyright file, in short in `SOURCES`.

Every second package in the order of `SOURCES` is for tuning; the others are kept for measuring. Packages are divided,
not clips.
"""

import argparse
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from affetto import audio
from affetto.errors import AudioError

SOURCES = {
    "ardentryst": ("Music/*.ogg", "CC-BY-SA-3.0, GPL-3+"),
    "asc-music": ("*.mp3", "GPL-2+"),
    "biniax2-data": ("*.it", "Zlib, LGPL-2.1+"),
    "drascula-music": ("*.ogg", "Drascula licence (BSD-like)"),
    "enigma-data": ("music/**/*.ogg", "GPL-2+"),
    "extremetuxracer-data": ("music/*.ogg", "GPL-2+, CC0"),
    "fillets-ng-data": ("music/*.ogg", "GPL-2+"),
    "fretsonfire-songs-muldjord": ("song.ogg", "CC-BY-SA-3.0"),
    "fretsonfire-songs-sectoid": ("song.ogg", "MIT"),
    "frozen-bubble-data": ("*zik*.ogg", "GPL-2"),
    "gunroar-data": ("musics/*.ogg", "BSD-2-Clause (the game's)"),
    "hyperrogue-music": ("*.ogg", "CC-BY-SA-3.0, GPL-2+, BSD-2-Clause"),
    "lincity-ng-data": ("music/**/*.ogg", "GPL-2+"),
    "noiz2sa-data": ("stg*.ogg", "BSD-2-Clause (the game's)"),
    "openttd-openmsx": ("*.mid", "GPL-2"),
    "parsec47-data": ("ptn*.ogg", "BSD-2-Clause (the game's)"),
    "pingus-data": ("*.it", "GPL-2+"),
    "powermanga-data": ("music*.ogg", "GPL-3+"),
    "rafkill-data": ("*.xm", "LGPL-2"),
    "raincat-data": ("music/*.ogg", "BSD-3-Clause, CC-BY-SA-3.0"),
    "singularity-music": ("*.ogg", "CC-BY-SA-3.0"),
    "tecnoballz-data": ("*.mod", "GPL-3+"),
    "torus-trooper-data": ("musics/*.ogg", "BSD-2-Clause (the game's)"),
    "tumiki-fighters-data": ("*.ogg", "BSD-2-Clause (the game's)"),
    "warzone2100-music": ("*.opus", "GPL-2+, CC-BY-SA"),
    "wesnoth-1.16-music": ("*.ogg", "GPL-2+"),
}
"""Debian package: where its music is, and its licence."""
TUNING = tuple(SOURCES)[::2]
SECONDS = 4.0
TRACKS, WINDOWS = 8, 3
FONT = "timgm6mb-soundfont"


def main(target: Path, work: Path) -> None:
    """Write the clips of every package, (n, 64000) each."""
    for package in (*SOURCES, FONT):
        unpack(package, work)
    cut = {package: np.stack(list(clips(package, work))) for package in SOURCES}
    np.savez(target, **cut)
    for package, found in cut.items():
        print(f"{package}: {len(found)} clips, {'tuning' if package in TUNING else 'measuring'}")


def unpack(package: str, work: Path) -> None:
    """Download and unpack a package, once."""
    if (work / package).exists():
        return
    subprocess.run(["apt-get", "download", "--quiet", package], cwd=work, check=True)
    (archive,) = work.glob(f"{package}_*.deb")
    subprocess.run(["dpkg-deb", "--extract", archive, work / package], check=True)


def clips(package: str, work: Path) -> Iterator[np.ndarray]:
    """Windows of a package's tracks; those that hold no sound at all are left out."""
    pattern, _ = SOURCES[package]
    tracks = sorted(path for path in (work / package).rglob(pattern) if path.is_file() and not path.is_symlink())
    for track in tracks[:: max(1, len(tracks) // TRACKS)][:TRACKS]:
        path = rendered(track, work)
        length = audio.seconds(path, name=path.name)
        for window in range(WINDOWS):
            start = (length - SECONDS) * (window + 1) / (WINDOWS + 1)
            try:
                waveform = audio.read(path, start=max(start, 0.0), end=max(start, 0.0) + SECONDS).waveform
            except AudioError as error:
                print(f"left out: {track.name}, {error}")
                continue
            if len(waveform) == round(SECONDS * audio.SAMPLE_RATE):
                yield waveform


def rendered(track: Path, work: Path) -> Path:
    """A track as a file that libsndfile reads."""
    if track.suffix in audio.EXTENSIONS:
        return track
    wav = work / f"{track.stem}.wav"
    if not wav.exists() and track.suffix == ".mid":
        (font,) = (work / FONT).rglob("*.sf2")
        subprocess.run(["fluidsynth", "-ni", "-q", "-F", wav, "-r", "32000", font, track], check=True)
    elif not wav.exists():
        render = ["openmpt123", "--quiet", "--batch", "--samplerate", "32000", "--end-time", "120", "-o", wav, track]
        subprocess.run(render, check=True)
    return wav


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    main(given.target, given.work.resolve())
