"""Gets a corpus from its owner: downloads the archive, goes on where that broke off, and keeps what is as known.

Every file is compared with its SHA-256, which ships beside the corpus's reader (`emodb.sha256`, a list that `sha256sum
--check` reads too), so that a mirror can give another archive but no other corpus.
"""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from affetto.corpora.base import CorpusInfo
from affetto.errors import ConfigError, CorpusError
from affetto.files import write_whole
from affetto.progress import Progress, no_progress

BLOCK = 1 << 16
"""Bytes that are read at once."""
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""
ATTEMPTS = 5
"""Connections in a row that may break without a byte gained."""
PAUSE = 1.0
"""Seconds before the second of them; doubled before each further one."""
LARGEST = 1 << 26
"""Bytes of the largest file that is unpacked."""
BESIDE = ("erkennung.txt", "erklaerung.txt")
"""Files of an archive that are kept unchecked, as nothing that a model hears or learns depends on them."""


def sums(info: CorpusInfo) -> dict[str, str]:
    """The SHA-256 of each file of a corpus, by its path below the root.

    Raises:
        ConfigError: if the corpus's owner offers no archive that may be fetched without asking.
    """
    if not info.archive:
        raise ConfigError(
            f"{info.name}: cannot be fetched, its owner wants to be asked or gives it otherwise: {info.source}"
        )
    listed = Path(__file__).with_name(f"{info.name}.sha256").read_text(encoding="ascii")
    return {path: digest for digest, path in (line.split(maxsplit=1) for line in listed.splitlines())}


def fetch(
    info: CorpusInfo,
    to: Path,
    *,
    url: str | None = None,
    expected: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
) -> int:
    """Get a corpus into a folder; files that are there already, and an archive that was begun, are not fetched again.

    Args:
        info: of the corpus.
        to: the folder, which becomes the corpus's root.
        url: of the zip archive, http or https; None: its owner's.
        expected: path below the root -> SHA-256; None: those that ship.
        progress: told of bytes and of files.

    Returns:
        How many files were written.

    Raises:
        ConfigError: if the corpus cannot be fetched, or the address is not of the web.
        CorpusError: if the archive cannot be had, is damaged, or does not hold the corpus.
    """
    expected = sums(info) if expected is None else expected
    url = info.archive if url is None else url
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"--url {url}: expected an address that begins with http:// or https://")
    missing = {path: digest for path, digest in expected.items() if not _is(to / path, digest)}
    if not missing:
        return 0
    archive = to / "archive.zip.part"
    try:
        to.mkdir(parents=True, exist_ok=True)
        _download(info, url, archive, progress)
        _unpack(info, url, archive, to, missing, progress)
    except OSError as error:
        raise CorpusError(f"{info.name}: {to} cannot be written ({error.strerror or error})") from error
    archive.unlink()
    return len(missing)


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def _download(info: CorpusInfo, url: str, archive: Path, progress: Progress) -> None:
    """The whole archive, in as many connections as it takes."""
    failures, reason = 0, ""
    while failures < ATTEMPTS:
        if failures:
            time.sleep(PAUSE * 2 ** (failures - 1))
        before = _size(archive)
        try:
            if _go_on(url, archive, progress):
                return
            reason = "the connection broke"
        except urllib.error.HTTPError as error:
            reason = f"the server says {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 429):
                break
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", "") or error) or type(error).__name__
        failures = 0 if _size(archive) > before else failures + 1
    kept = f"; {_size(archive) / 1e6:.1f} MB are kept, the same command goes on from there" if _size(archive) else ""
    raise CorpusError(f"{info.name}: {url} cannot be had ({reason}){kept}; --url takes the address of a mirror")


def _go_on(url: str, archive: Path, progress: Progress) -> bool:
    """Fetch what is missing of the archive over one connection; whether it is whole then."""
    have = _size(archive)
    request = urllib.request.Request(url, headers={"User-Agent": "affetto", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        error.close()
        if error.headers.get("Content-Range", "") == f"bytes */{have}":
            return True
        archive.unlink()  # longer than what the server has: of another archive
        return False
    with answer:
        if answer.status != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = 0  # a server that does not know ranges begins anew
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else 0
        with archive.open("ab" if have else "wb") as file:
            while block := answer.read(BLOCK):
                file.write(block)
                have += len(block)
                progress("bytes", have, max(total, have))
    return have == total or not length


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _unpack(
    info: CorpusInfo, url: str, archive: Path, to: Path, missing: Mapping[str, str], progress: Progress
) -> None:
    """Write the files that are missing, each once it was compared, and what may lie beside them."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(opened, [*missing, *BESIDE])
            if absent := [path for path in missing if path not in members]:
                archive.unlink()
                raise CorpusError(
                    f"{info.name}: the archive from {url} lacks {len(absent)} of {len(missing)} files, the first of "
                    f"them {absent[0]}; it was deleted, as it is not that of {info.title}"
                )
            for done, (path, member) in enumerate(members.items(), start=1):
                content = opened.read(member)
                if path in missing and hashlib.sha256(content).hexdigest() != missing[path]:
                    archive.unlink()
                    raise CorpusError(
                        f"{info.name}: {path} in the archive from {url} is not the known file (its SHA-256 is not "
                        f"{missing[path][:12]}...); the archive was deleted"
                    )
                (to / path).parent.mkdir(parents=True, exist_ok=True)
                if path in missing or not (to / path).exists():
                    write_whole(to / path, content)
                progress("files", done, len(members))
    except (zipfile.BadZipFile, EOFError, RuntimeError, zlib.error) as error:
        archive.unlink()
        raise CorpusError(
            f"{info.name}: the archive from {url} is damaged and was deleted; the same command begins anew"
        ) from error


def _members(archive: zipfile.ZipFile, paths: list[str]) -> dict[str, zipfile.ZipInfo]:
    """Of the paths that are wanted, those in the archive; they may lie in a folder there."""
    found: dict[str, zipfile.ZipInfo] = {}
    wanted = {PurePosixPath(path).parts: path for path in paths}
    for member in archive.infolist():
        parts = PurePosixPath(member.filename.replace("\\", "/")).parts
        for skipped in range(len(parts)):
            if parts[skipped:] in wanted and member.file_size <= LARGEST:
                found.setdefault(wanted[parts[skipped:]], member)
    return found
