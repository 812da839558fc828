"""A stock site on loopback: speaks Openverse's search API, serves drawn pictures with planted faults, or a folder's.

``python -m pipelines.demo.stock_site.server --announce FILE`` serves until its parent process ends.
"""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from pipelines.demo.serving import serve_until_orphaned, serving_arguments
from pipelines.demo.stock_site.catalogue import StockPicture, drawn_catalogue, found_by, photo_catalogue
from pipelines.demo.stock_site.faults import bomb, corrupt, jpeg, reencode, send_endlessly, truncate

HOST = "stock.demo.test"
"""The name under which the archive knows the site; .test never resolves in public."""
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
"""The site's calendar stands still, so that two runs record the same day."""
PAGE_SIZE = 20
RETRY_AFTER_S = 1


@dataclass(frozen=True)
class DrawnWords:
    """A picture's bytes, and the words that its page shows."""

    picture: bytes
    title: str
    alt_text: str


def draw(picture: StockPicture) -> DrawnWords:
    """Draws a catalogue entry; runs in a process of its own, because drawing is the site's only heavy work."""
    from pipelines.demo.scenes.scene import draw_scene

    assert picture.drawn and picture.titled
    scene = draw_scene(*picture.drawn, seed=picture.seed)
    words = scene if picture.titled == picture.drawn else draw_scene(*picture.titled, seed=picture.seed)
    return DrawnWords(jpeg(scene.image), words.title, words.alt_text)


@dataclass
class StockSite:
    """The site's state: its catalogue, what is drawn so far, and whom it has told to come back later."""

    pictures: Sequence[StockPicture]
    artists: ProcessPoolExecutor
    ahead: bool = False
    """Draw everything as soon as the site is up: no search and no download then waits for a drawing."""
    by_id: dict[str, StockPicture] = field(init=False)
    drawing: "dict[str, asyncio.Future[DrawnWords]]" = field(default_factory=dict)
    told_to_wait: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.by_id = {picture.id: picture for picture in self.pictures}

    def app(self) -> web.Application:
        """The web application."""
        app = web.Application()
        app.router.add_get("/v1/images/", self._search)
        app.router.add_get("/photos/{id}.jpg", self._picture)
        app.router.add_get("/robots.txt", self._robots)
        app.router.add_get("/health", self._health)
        app.on_response_prepare.append(_stand_still)
        app.on_startup.append(self._draw_ahead)
        return app

    async def _draw_ahead(self, app: web.Application) -> None:
        for picture in self.pictures if self.ahead else ():
            self._drawing(picture)

    async def _robots(self, request: web.Request) -> web.Response:
        return web.Response(text="User-agent: *\nDisallow: /private/\n")

    async def _health(self, request: web.Request) -> web.Response:
        drawn = sum(drawing.done() for drawing in self.drawing.values())
        photos = sum(bool(picture.photo) for picture in self.pictures)
        return web.json_response({"pictures": len(self.pictures), "ready": drawn + photos})

    async def _search(self, request: web.Request) -> web.Response:
        page = int(request.query.get("page", "1"))
        words = await asyncio.gather(*(self._words(picture) for picture in self.pictures))
        titles = {picture.id: of_picture.title for picture, of_picture in zip(self.pictures, words, strict=True)}
        matches = found_by(request.query.get("q", ""), titles, every=bool(self.pictures[0].photo))
        shown = matches[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
        records = [await self._record(self.by_id[name]) for name in shown]
        return web.json_response(
            {
                "result_count": len(matches),
                "page_count": -(-len(matches) // PAGE_SIZE),
                "page_size": PAGE_SIZE,
                "page": page,
                "results": records,
            }
        )

    async def _record(self, picture: StockPicture) -> dict[str, Any]:
        words = await self._words(picture)
        deeds = {"cc0": "publicdomain/zero", "pdm": "publicdomain/mark"}.get(
            picture.licence, f"licenses/{picture.licence}"
        )
        stated = picture.licence_version is not None
        return {
            "id": picture.id,
            "title": words.title,
            "foreign_landing_url": f"http://{HOST}/pages/{picture.id}",
            "url": f"http://{HOST}/photos/{picture.id}.jpg",
            "creator": picture.creator,
            "creator_url": f"http://{HOST}/people/{picture.creator.replace(' ', '-').lower()}",
            "license": picture.licence,
            "license_version": picture.licence_version,
            "license_url": f"https://creativecommons.org/{deeds}/{picture.licence_version}/" if stated else None,
            "provider": "demo",
            "source": "demo",
            "tags": [{"name": words.alt_text, "accuracy": None}],
            "mature": False,
            "width": None,
            "height": None,
        }

    async def _words(self, picture: StockPicture) -> DrawnWords:
        """A folder's picture is read when it is fetched, not before."""
        if picture.photo:
            return DrawnWords(b"", picture.title, picture.title)
        return await self._drawing(picture)

    def _drawing(self, picture: StockPicture) -> "asyncio.Future[DrawnWords]":
        if picture.id not in self.drawing:
            loop = asyncio.get_running_loop()
            self.drawing[picture.id] = loop.run_in_executor(self.artists, draw, picture)
        return self.drawing[picture.id]

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        wanted = request.match_info["id"]
        picture = self.by_id.get(wanted)
        if picture is None or picture.fault == "missing":
            raise web.HTTPNotFound
        if picture.fault == "busy" and wanted not in self.told_to_wait:
            self.told_to_wait.add(wanted)
            return web.Response(status=429, headers={"Retry-After": str(RETRY_AFTER_S)})
        if picture.fault == "redirect_port":
            raise web.HTTPFound("http://127.0.0.1:1/inside.jpg")
        if picture.fault == "redirect_file":
            return web.Response(status=302, headers={"Location": "file:///etc/passwd"})
        if picture.fault == "endless":
            return await send_endlessly(request)
        if picture.photo:
            return web.Response(body=await asyncio.to_thread(Path(picture.photo).read_bytes), content_type="image/jpeg")
        body = _body(picture.fault, (await self._drawing(picture)).picture)
        return web.Response(body=body, content_type="image/jpeg")


def _body(fault: str, picture: bytes) -> bytes:
    if fault == "html":
        return b"<!doctype html><html><title>Sign in</title><body>Please sign in to see this picture.</body></html>"
    if fault == "bomb":
        return bomb()
    change = {"corrupt": corrupt, "truncated": truncate, "reencoded_copy": reencode}.get(fault)
    return change(picture) if change else picture


async def _stand_still(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Date"] = DATE


def main() -> None:
    """The command line."""
    parser = serving_arguments("A stock site that speaks Openverse's API")
    parser.add_argument("--images", type=int, default=400, help="pictures to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photos", default="", help="a folder of pictures to serve instead")
    parser.add_argument("--ahead", action="store_true", help="draw everything at once, before anything is asked")
    arguments = parser.parse_args()
    pictures = (
        photo_catalogue(arguments.photos) if arguments.photos else drawn_catalogue(arguments.images, arguments.seed)
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ProcessPoolExecutor(cores) as artists:
        serve_until_orphaned(StockSite(pictures, artists, ahead=arguments.ahead).app(), arguments)


if __name__ == "__main__":
    main()
