"""The web page of a server: record or choose a file, see and hear what was heard in it.

index.html.jinja   what there is to see
page.css           how it looks, beside the styles of reports and timelines
page.js            what the buttons do
analysis.js        a recording that is sent, and a long one that is asked after
listening.js       a stream that goes on when its connection was lost
recording.js       the microphone, and sound in memory
microphone.js      its samples, in the thread of the sound
rows.js            what was heard, as the page shows it
downloads.js       the same as CSV, JSON and WebVTT
about.js           the model's card

Browsers get all of it from this server alone; the policy that comes with the page forbids them to ask anybody else.
"""

import secrets
from pathlib import Path

import jinja2
from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

from affetto import __version__, palette
from affetto.serve.problems import refused

FOLDER = Path(__file__).parent
PACKAGE = FOLDER.parents[1]
SHARED = {
    "base.css": PACKAGE / "report" / "report.css",
    "timeline.css": PACKAGE / "views" / "page.css",
    "player.js": PACKAGE / "views" / "player.js",
    **{path.name: path for path in (PACKAGE / "views" / "vendor").glob("*.min.js")},
    "LICENSE": PACKAGE / "views" / "vendor" / "LICENSE",
}
"""Files of other pages of ours, by the names that this one has for them."""
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    # The waveform's own style is inside its shadow tree.
    "style-src": "'self' 'nonce-{nonce}'",
    "connect-src": "'self'",
    "media-src": "blob:",
    "img-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
"""What browsers may load for the page, and from where (Content Security Policy Level 3)."""
HEADERS = {
    "Cache-Control": "no-cache",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def assets() -> dict[str, Path]:
    """The files that the page is made of, by name."""
    return SHARED | {path.name: path for path in FOLDER.iterdir() if path.suffix in KINDS}


def router() -> APIRouter:
    """The addresses of the page and of its files; they need no token, for they tell nothing."""
    pages = APIRouter(include_in_schema=False)
    files = assets()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    index = environment.get_template("index.html.jinja")

    @pages.get("/")
    async def page() -> HTMLResponse:
        nonce = secrets.token_urlsafe(16)
        policy = "; ".join(f"{name} {sources}" for name, sources in POLICY.items()).format(nonce=nonce)
        content = index.render(nonce=nonce, colours=_colours(), version=__version__)
        return HTMLResponse(content, headers=HEADERS | {"Content-Security-Policy": policy})

    @pages.get("/page/{name}")
    async def file(name: str) -> Response:
        if name not in files:
            raise refused(404, "the page has no such file", got=name[:100], expected="one that it asks for")
        kind = KINDS.get(files[name].suffix, "text/plain")
        return FileResponse(files[name], media_type=kind, headers=HEADERS)

    return pages


def _colours() -> dict[str, dict[str, str]]:
    """Of each emotion: its colour, and that of a name upon it."""
    return {emotion: {"colour": colour, "ink": palette.on(colour)} for emotion, colour in palette.COLOURS.items()}
