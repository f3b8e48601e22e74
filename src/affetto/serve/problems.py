"""What goes wrong, as those who ask are told it: what, what was got, what was expected."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from affetto.errors import AffettoError, AudioError
from affetto.messages import Problem

EXPECTED = {
    "missing": "a recording",
    "undecodable": "wav, flac, ogg, opus or mp3",
    "truncated": "a whole file",
    "empty": "samples",
    "too_short": "at least 25 ms",
    "silent": "sound above -80 dBFS",
    "not_finite": "finite samples",
    "no_words": "a transcript, or a server with --asr",
    "no_sound": "a recording",
}
"""What would have been heard, by the reason that a recording was not."""


class RefusedError(Exception):
    """A request that is not done.

    Args:
        status: of HTTP.
        problem: what those who asked are told.
        headers: of the answer.
    """

    def __init__(self, status: int, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.what)
        self.status, self.problem, self.headers = status, problem, dict(headers or {})


WANTED = {
    "missing": "it to be there",
    "extra_forbidden": "nothing of this name",
    "json_invalid": "JSON",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a number",
    "string_type": "text",
    "literal_error": "{expected}",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
}
"""What would have been valid, by pydantic's name of what is wrong."""


def wanted(fault: Mapping[str, Any]) -> str:
    """What would have been valid instead of something that is not.

    Args:
        fault: one of pydantic's errors.
    """
    known = WANTED.get(str(fault["type"]))
    return str(fault["msg"]) if known is None else known.format(**fault.get("ctx", {}))


def refused(status: int, what: str, *, got: Any, expected: str, retry_after: float | None = None) -> RefusedError:
    """A request that is not done.

    Args:
        status: of HTTP.
        what: goes wrong.
        got: what was sent.
        expected: what should have been.
        retry_after: seconds after which it may be.
    """
    headers = {} if retry_after is None else {"Retry-After": str(max(1, round(retry_after)))}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return RefusedError(status, Problem(what=what, got=str(got), expected=expected), headers)


def problem(error: AffettoError) -> Problem:
    """What a fault of ours' making is to those who sent the recording; without its path, which is this machine's."""
    if isinstance(error, AudioError):
        expected = EXPECTED.get(error.reason, "a recording that can be heard")
        return Problem(what="the recording cannot be heard", got=error.detail, expected=expected)
    return Problem(what="the recording cannot be analysed", got=str(error), expected="see /docs")


def handle(app: FastAPI) -> None:
    """Have an app tell its problems."""

    @app.exception_handler(RefusedError)
    async def _refused(_: Request, error: RefusedError) -> JSONResponse:
        return _response(error.status, error.problem, error.headers)

    @app.exception_handler(AffettoError)
    async def _affetto(_: Request, error: AffettoError) -> JSONResponse:
        return _response(422, problem(error))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        told = Problem(what=f"{where} is not valid", got=str(first.get("input"))[:200], expected=wanted(first))
        return _response(422, told)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        got = f"{request.method} {request.url.path}"
        methods = sorted(_methods(request)) if error.status_code == 405 else []
        instead = f"{' or '.join(methods)} {request.url.path}" if methods else "an address in /openapi.json"
        told = Problem(what=str(error.detail), got=got, expected=instead)
        return _response(error.status_code, told, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def _fault(request: Request, _: Exception) -> JSONResponse:
        # What it was goes to the server's log, not to whoever asks.
        told = Problem(what="the server failed", got=f"{request.method} {request.url.path}", expected="an answer")
        return _response(500, told)


def _methods(request: Request) -> set[str]:
    """What may be asked of an address; it may be several routes' own."""
    described = request.app.openapi()["paths"]
    matched = [operations for path, operations in described.items() if compile_path(path)[0].match(request.url.path)]
    return {method.upper() for operations in matched for method in operations}


def _response(status: int, told: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(told.model_dump(), status, dict(headers or {}))
