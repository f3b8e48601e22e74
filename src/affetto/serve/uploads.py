"""Recordings in the bodies of requests, as files that are gone when they have been heard."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import NamedTemporaryFile

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from affetto.serve.problems import refused

COPY_BYTES = 1_000_000
"""Of an upload that are copied at once."""

BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary", "description": "The recording."}},
            }
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "audio/*": {"schema": {"type": "string", "format": "binary"}},
    },
}
"""A recording in a body, in the words of OpenAPI."""


@dataclass(frozen=True)
class Upload:
    """A recording that was sent.

    Args:
        name: as the sender calls it; "" for a bare body.
        path: of the file that holds it.
    """

    name: str
    path: Path


async def receive(request: Request, folder: Path, *, max_bytes: int, seconds: float) -> Upload:
    """The recording in a request's body, in a new file.

    Args:
        request: multipart with a field `file`, or the recording itself.
        folder: where the file is made.
        max_bytes: that the body may have.
        seconds: that it may take to come.

    Raises:
        RefusedError: if there is none, it is too large, or it comes too slowly.
    """
    promised = request.headers.get("content-length", "")
    if promised.isdecimal() and int(promised) > max_bytes:
        raise _too_large(promised, max_bytes)
    with NamedTemporaryFile(dir=folder, suffix=".audio", delete=False) as file:
        path = Path(file.name)
    try:
        async with asyncio.timeout(seconds):
            name = await _write(request, path, max_bytes)
    except TimeoutError as error:
        path.unlink(missing_ok=True)
        raise refused(408, "the body came too slowly", got=f"no end after {seconds:g} s", expected="a body") from error
    except ClientDisconnect as error:
        path.unlink(missing_ok=True)
        raise refused(400, "the body did not end", got="a connection that was lost", expected="a body") from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Upload(name, path)


async def _write(request: Request, path: Path, max_bytes: int) -> str:
    """Writes the recording to a file; gives its name."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        size = 0
        with path.open("wb") as out:
            async for chunk in _limited(request, max_bytes):
                size += out.write(chunk)
        if not size:
            raise refused(400, "the body is empty", got="0 bytes", expected="a recording, or a form with a file")
        return ""
    try:
        form = await MultiPartParser(request.headers, _limited(request, max_bytes), max_files=1, max_fields=8).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        told = getattr(error, "message", str(error))
        raise refused(400, "the form cannot be read", got=told, expected="multipart/form-data with a file") from error
    upload = form.get("file")
    try:
        if not isinstance(upload, UploadFile):
            raise refused(
                400, "the form has no file", got=", ".join(form) or "an empty form", expected="a field 'file'"
            )
        with path.open("wb") as out:
            while chunk := await upload.read(COPY_BYTES):
                out.write(chunk)
        return PurePosixPath((upload.filename or "").replace("\\", "/")).name
    finally:
        await form.close()


async def _limited(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes, as long as it is not too large."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(f"more than {size}", max_bytes)
        yield chunk


def _too_large(got: object, max_bytes: int) -> Exception:
    expected = f"at most {max_bytes} bytes; longer recordings go to /v1/jobs"
    return refused(413, "the recording is too large", got=f"{got} bytes", expected=expected)
