"""The addresses of a server."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from affetto import __version__
from affetto.messages import Analysis, Health, Job, Model, Problem
from affetto.recognizer import Recognizer
from affetto.segments.formats import render
from affetto.serve import analysis, examples, live, page, uploads
from affetto.serve.analysis import WINDOW, Options
from affetto.serve.jobs import Jobs
from affetto.serve.measures import CONTENT_TYPE
from affetto.serve.problems import handle, refused
from affetto.serve.service import Service
from affetto.serve.settings import ServeSettings

KINDS = {"application/json": "json", "text/csv": "csv", "text/vtt": "vtt"}
"""What an analysis can be given as."""

DESCRIPTION = """
Which emotion speech carries: recordings, long recordings, and (over a WebSocket at `/v1/stream`, which this description
has no words for) live sound. Neither sound nor words are kept or logged, but for the recording of a job until the job
has ended and its result for a day.

It says how a clip sounds to a model, not what a person feels. It must not be used to infer the emotions of employees,
pupils or students (Article 5(1)(f) of the EU AI Act), for decisions about a person, or covertly.
"""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that an address may answer, in the words of OpenAPI."""
    return {status: {"model": Problem, "description": examples.STATUSES[status]} for status in statuses}


def create(recognizer: Recognizer, settings: ServeSettings | None = None) -> FastAPI:
    """A server's application.

    Args:
        recognizer: hears.
        settings: what is allowed.
    """
    settings = settings or ServeSettings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = Service(recognizer, settings)
        try:
            yield
        finally:
            app.state.service.stopping.set()
            app.state.service.close()

    app = FastAPI(
        title="Affetto",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    handle(app)
    _measure(app)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["authorization", "content-type"],
            expose_headers=["retry-after"],
        )
    for router in (page.router(), _recognition(), _long_recordings(), _state()):
        app.include_router(router)

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await live.hold(socket, socket.app.state.service)

    return app


def service_of(request: Request) -> Service:
    """The server that a request came to."""
    service: Service = request.app.state.service
    return service


Ours = Annotated[Service, Depends(service_of)]
_bearer = HTTPBearer(auto_error=False, description="The server's token, if it has one.")


def authorised(service: Ours, shown: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
    """See that who asks may."""
    service.check_token(shown.credentials if shown else None)


def options(
    request: Request,
    service: Ours,
    words: Annotated[bool, Query(description="Write down what is said.")] = False,
    channels: Annotated[
        Literal["mix", "split"], Query(description="Averaged into one voice, or a voice each.")
    ] = "mix",
    window: Annotated[
        float, Query(ge=0, le=30, description="Seconds that are judged at once; 0: one answer a region of speech.")
    ] = WINDOW,
    baseline: Annotated[
        Literal["none", "running"], Query(description="Judge each voice beside what was heard of it before.")
    ] = "none",
) -> Options:
    """How a recording is to be analysed."""
    known = [each.name for each in fields(Options)]
    for name in request.query_params:
        if name not in known:
            raise refused(422, "the query has a name that is not known", got=name[:100], expected=", ".join(known))
    service.check_words(words)
    service.check_baseline(baseline != "none")
    found = Options(words, channels, window, baseline)
    _ = found.settings  # refuses windows that make no sense
    return found


def accepted(request: Request) -> str:
    """What an analysis is to be given as: the first of what is accepted most.

    Raises:
        RefusedError: if it is nothing that can be given.
    """
    header = request.headers.get("accept") or "*/*"
    asked = [part.partition(";") for part in header.split(",")]
    ranked = sorted(((_quality(more), kind.strip().lower()) for kind, _, more in asked), key=lambda pair: -pair[0])
    for quality, kind in ranked:
        matches = [one for one in KINDS if kind in (one, "*/*", f"{one.partition('/')[0]}/*")]
        if quality > 0 and matches:
            return KINDS[matches[0]]
    raise refused(406, "it cannot be given as this", got=header[:200], expected=", ".join(KINDS))


def _quality(parameters: str) -> float:
    for part in parameters.split(";"):
        name, _, value = part.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _recognition() -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["recognition"], dependencies=[Depends(authorised)])

    @router.post(
        "/analyze",
        summary="Hear a recording",
        response_model=Analysis,
        responses={
            200: {"description": "Its utterances.", "content": examples.ANALYSIS},
            **problems(400, 401, 406, 408, 413, 422, 429, 503),
        },
        openapi_extra={"requestBody": uploads.BODY},
    )
    async def analyze(
        request: Request,
        service: Ours,
        how: Annotated[Options, Depends(options)],
        kind: Annotated[str, Depends(accepted)],
    ) -> Response:
        limits = service.limits
        with service.request():
            upload = await uploads.receive(
                request, service.folder, max_bytes=limits.upload_bytes, seconds=limits.body_seconds
            )
            try:
                timeline = analysis.named(await service.analyse(upload.path, how), upload.name)
            finally:
                upload.path.unlink(missing_ok=True)
        if kind == "json":
            return Response(analysis.message(timeline).model_dump_json(), media_type="application/json")
        return Response(render([timeline], kind), media_type=f"text/{kind}; charset=utf-8")

    @router.get("/models", summary="What it hears with", responses=problems(401))
    async def models(service: Ours) -> list[Model]:
        return [service.model]

    return router


def _jobs(service: Ours) -> Jobs:
    """The jobs of a server.

    Raises:
        RefusedError: if it takes none.
    """
    if service.jobs is None:
        raise refused(404, "this server takes no jobs", got="/v1/jobs", expected="a server started with --jobs FOLDER")
    return service.jobs


TheJobs = Annotated[Jobs, Depends(_jobs)]


def _long_recordings() -> APIRouter:
    router = APIRouter(prefix="/v1/jobs", tags=["long recordings"], dependencies=[Depends(authorised)])

    @router.post(
        "",
        summary="Have a long recording heard",
        status_code=202,
        responses={202: {"content": examples.JOB}, **problems(400, 401, 404, 408, 413, 422, 429, 503)},
        openapi_extra={"requestBody": uploads.BODY},
    )
    async def submit(request: Request, service: Ours, jobs: TheJobs, how: Annotated[Options, Depends(options)]) -> Job:
        limits = service.limits
        service.check_running()
        if jobs.open >= limits.jobs:
            expected = f"at most {limits.jobs} that wait"
            raise refused(429, "there are too many jobs", got=f"{jobs.open} jobs", expected=expected, retry_after=60)
        upload = await uploads.receive(
            request, jobs.folder, max_bytes=limits.job_bytes, seconds=limits.job_body_seconds
        )
        return await service.run(jobs.add, upload.path, upload.name, how)

    @router.get(
        "/{identity}",
        summary="How far it is",
        responses={200: {"content": examples.JOB}, **problems(401, 404, 422)},
    )
    async def find(service: Ours, jobs: TheJobs, identity: str) -> Job:
        job = await service.run(jobs.find, identity)
        if job is None:
            raise _no_job(identity)
        return job

    @router.delete("/{identity}", summary="Stop and forget it", status_code=204, responses=problems(401, 404, 422))
    async def delete(service: Ours, jobs: TheJobs, identity: str) -> None:
        if not await service.run(jobs.delete, identity):
            raise _no_job(identity)

    return router


def _no_job(identity: str) -> Exception:
    return refused(404, "there is no such job", got=identity[:100], expected="the id of a job that is kept")


def _state() -> APIRouter:
    router = APIRouter(tags=["state"])

    @router.get("/healthz", summary="Whether the server is there")
    async def health() -> Health:
        return Health(status="ok")

    @router.get("/readyz", summary="Whether it takes work", responses=problems(503))
    async def ready(service: Ours) -> Health:
        service.check_running()
        return Health(status="ok")

    @router.get(
        "/metrics",
        summary="For Prometheus",
        dependencies=[Depends(authorised)],
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems(401)},
    )
    async def metrics(service: Ours) -> Response:
        return Response(service.measures.text(), media_type=CONTENT_TYPE)

    return router


def _measure(app: FastAPI) -> None:
    """Count requests and their time by address, as it is registered: what was in it is nobody's business."""

    @app.middleware("http")
    async def count(request: Request, forward: Callable[[Request], Awaitable[Response]]) -> Response:
        started = time.monotonic()
        response = await forward(request)
        route = request.scope.get("route")
        address = getattr(route, "path", "none")
        measures = service_of(request).measures
        measures.requests.labels(address, str(response.status_code)).inc()
        measures.seconds.labels(address).observe(time.monotonic() - started)
        return response
