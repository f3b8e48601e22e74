import hashlib
import io
import re
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from affetto import cli, corpora
from affetto.corpora import fetch as fetching
from affetto.corpora.fetch import fetch, sums
from affetto.errors import ConfigError, CorpusError

EMODB = corpora.get("emodb").info


class Shelf(ThreadingHTTPServer):
    """A server on this machine that holds one archive, and breaks off its first answers after some bytes.

    Its `ranges` are what it was asked for; where it does not know them, it sends everything each time.
    """

    def __init__(self, content: bytes, *, breaks: int = 0, after: int = 0, knows_ranges: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.content, self.breaks, self.after, self.knows_ranges = content, breaks, after, knows_ranges
        self.ranges: list[str] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/download.zip"


class Asked(BaseHTTPRequestHandler):
    server: Shelf

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:  # noqa: N802, the name that http.server calls
        shelf = self.server
        asked = self.headers.get("Range", "")
        shelf.ranges.append(asked)
        start = int(match[1]) if shelf.knows_ranges and (match := re.fullmatch(r"bytes=(\d+)-", asked)) else 0
        if self.path != "/download.zip":
            self.send_error(404)
            return
        if start >= len(shelf.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(shelf.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rest = shelf.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(shelf.content) - 1}/{len(shelf.content)}")
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if len(shelf.ranges) <= shelf.breaks:
            rest = rest[: shelf.after]
        self.wfile.write(rest)
        shelf.sent += len(rest)


@pytest.fixture
def shelf(monkeypatch) -> Iterator:
    """Makes a server of an archive."""
    monkeypatch.setattr(fetching, "PAUSE", 0.001)
    opened = []

    def put(content: bytes, **settings) -> Shelf:
        server = Shelf(content, **settings)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        opened.append(server)
        return server

    yield put
    for server in opened:
        server.shutdown()
        server.server_close()


FILES = {f"wav/{n}.wav": np.random.default_rng(n).bytes(20_000) for n in range(8)}
KNOWN = {path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()}
OTHERS = {"erkennung.txt": b"Nr. Satz", "lablaut/0.lablaut": b"labels of sounds", "../escaped.txt": b"elsewhere"}


def zipped(files: dict[str, bytes], folder: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(folder + path, content)
    return buffer.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("folder", ["", "emodb/"])
def test_an_archive_becomes_the_files_that_are_known_and_what_lies_beside_them(folder, shelf, tmp_path):
    server = shelf(zipped({**FILES, **OTHERS}, folder))
    told = []
    assert fetch(EMODB, tmp_path / "to", url=server.url, expected=KNOWN, progress=lambda *w: told.append(w)) == 8
    assert contents(tmp_path / "to") == {**FILES, "erkennung.txt": b"Nr. Satz"}
    assert not (tmp_path / "escaped.txt").exists()
    assert ("bytes", server.sent, server.sent) in told
    assert told[-1] == ("files", 9, 9)


def test_what_is_there_is_not_fetched_again(shelf, tmp_path):
    server = shelf(zipped(FILES))
    fetch(EMODB, tmp_path, url=server.url, expected=KNOWN)
    assert fetch(EMODB, tmp_path, url=server.url, expected=KNOWN) == 0
    assert len(server.ranges) == 1
    (tmp_path / "wav" / "3.wav").write_bytes(b"overwritten")
    (tmp_path / "wav" / "4.wav").unlink()
    assert fetch(EMODB, tmp_path, url=server.url, expected=KNOWN) == 2
    assert contents(tmp_path) == FILES


def test_a_broken_connection_is_gone_on_with_where_it_broke(shelf, tmp_path):
    content = zipped(FILES)
    server = shelf(content, breaks=3, after=30_000)
    assert fetch(EMODB, tmp_path, url=server.url, expected=KNOWN) == 8
    assert server.ranges == ["", "bytes=30000-", "bytes=60000-", "bytes=90000-"]
    assert server.sent == len(content)  # no byte was sent twice
    assert contents(tmp_path) == FILES


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(shelf, tmp_path):
    content = zipped(FILES)
    server = shelf(content, breaks=1, after=50_000)
    part = tmp_path / "archive.zip.part"
    part.write_bytes(content[:70_000])
    assert fetch(EMODB, tmp_path, url=server.url, expected=KNOWN) == 8
    assert server.ranges == ["bytes=70000-", "bytes=120000-"]
    assert not part.exists()


def test_a_server_that_only_breaks_is_given_up_and_what_came_is_kept(shelf, tmp_path):
    server = shelf(zipped(FILES), breaks=10**6, after=0)
    part = tmp_path / "archive.zip.part"
    part.write_bytes(server.content[:20_000])
    with pytest.raises(CorpusError, match=r"^emodb: http.* cannot be had \(.*\); 0.0 MB are kept, the same command"):
        fetch(EMODB, tmp_path, url=server.url, expected=KNOWN)
    assert len(server.ranges) == fetching.ATTEMPTS
    assert part.read_bytes() == server.content[:20_000]


def test_a_server_without_ranges_begins_anew(shelf, tmp_path):
    content = zipped(FILES)
    server = shelf(content, breaks=1, after=30_000, knows_ranges=False)
    assert fetch(EMODB, tmp_path, url=server.url, expected=KNOWN) == 8
    assert server.sent == len(content) + 30_000


@pytest.mark.parametrize("length", [0, 500])
def test_an_archive_that_is_whole_or_too_long_already_is_noticed(length, shelf, tmp_path):
    content = zipped(FILES)
    (tmp_path / "archive.zip.part").write_bytes(content + bytes(length))
    server = shelf(content)
    assert fetch(EMODB, tmp_path, url=server.url, expected=KNOWN) == 8
    assert server.sent == (len(content) if length else 0)


def test_a_file_that_is_not_the_known_one_is_refused_and_not_written(shelf, tmp_path):
    server = shelf(zipped({**FILES, "wav/5.wav": b"another sound"}))
    with pytest.raises(CorpusError, match=r"wav/5.wav in the archive .* is not the known file .*was deleted"):
        fetch(EMODB, tmp_path, url=server.url, expected=KNOWN)
    assert "wav/5.wav" not in contents(tmp_path)
    assert "archive.zip.part" not in contents(tmp_path)


def test_an_archive_of_something_else_or_damaged_is_named(shelf, tmp_path):
    half = dict(list(FILES.items())[:3])
    with pytest.raises(CorpusError, match=r"lacks 5 of 8 files, the first of them wav/3.wav; it was deleted"):
        fetch(EMODB, tmp_path, url=shelf(zipped(half)).url, expected=KNOWN)
    content = bytearray(zipped(FILES))
    content[40_000:50_000] = bytes(10_000)
    for bad in (b"<html>not found</html>", bytes(content)):
        with pytest.raises(CorpusError, match=r"is damaged and was deleted; the same command begins anew"):
            fetch(EMODB, tmp_path, url=shelf(bad).url, expected=KNOWN)
        assert "archive.zip.part" not in contents(tmp_path)


def test_a_wrong_address_is_one_line(shelf, tmp_path):
    server = shelf(zipped(FILES))
    with pytest.raises(CorpusError, match=r"the server says 404 Not Found\); --url takes the address of a mirror"):
        fetch(EMODB, tmp_path, url=server.url + "x", expected=KNOWN)
    assert len(server.ranges) == 1  # nobody asks twice for what is not there
    with pytest.raises(ConfigError, match="begins with http:// or https://"):
        fetch(EMODB, tmp_path, url="/mirror/download.zip", expected=KNOWN)
    with pytest.raises(CorpusError, match="cannot be written"):
        (tmp_path / "file").touch()
        fetch(EMODB, tmp_path / "file", url=server.url, expected=KNOWN)


def test_nobody_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "PAUSE", 0.001)
    with Shelf(b"") as closed:
        url = closed.url
    with pytest.raises(CorpusError, match=r"cannot be had \(.*refused\); --url takes"):
        fetch(EMODB, tmp_path, url=url, expected=KNOWN)


def test_a_corpus_of_which_no_archive_is_open_cannot_be_fetched(tmp_path):
    with pytest.raises(ConfigError, match="iemocap: cannot be fetched.*sail.usc.edu"):
        fetch(corpora.get("iemocap").info, tmp_path)


def test_the_known_files_are_those_of_the_corpus(emodb_root):
    """Every archive that may be fetched has its sums; those of EMO-DB are of the 535 files."""
    for name in corpora.names():
        if (info := corpora.get(name).info).archive:
            assert len(sums(info)) == sum(info.categories.values())
    assert sums(EMODB) == {
        f"wav/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in (emodb_root / "wav").glob("*.wav")
    }


def test_the_real_corpus_is_fetched_from_a_server_that_breaks_off(emodb_root, shelf, tmp_path):
    files = {f"wav/{path.name}": path.read_bytes() for path in sorted((emodb_root / "wav").glob("*.wav"))}
    files["erkennung.txt"] = (emodb_root / "erkennung.txt").read_bytes()
    server = shelf(zipped(files), breaks=2, after=15_000_000)
    assert fetch(EMODB, tmp_path, url=server.url) == 535
    assert server.sent == len(server.content)
    fetched, known = (corpora.read("emodb", root) for root in (tmp_path, emodb_root))
    assert fetched.manifest_sha256() == known.manifest_sha256()
    assert fetched.table.equals(known.table)


def test_the_command_says_what_it_fetched_and_what_cannot_be(emodb_root, shelf, tmp_path, monkeypatch, capsys):
    path = min((emodb_root / "wav").glob("*.wav"))
    server = shelf(zipped({f"wav/{path.name}": path.read_bytes()}))
    monkeypatch.setattr(fetching, "sums", lambda info: {f"wav/{path.name}": sums(EMODB)[f"wav/{path.name}"]})
    for told in ("1 files fetched, 1 utterances as known", "nothing to fetch, 1 utterances"):
        monkeypatch.setattr(sys, "argv", ["affetto", "corpora", "fetch", "emodb", "--to", "copy", "--url", server.url])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert not stopped.value.code
        assert told in capsys.readouterr().out
