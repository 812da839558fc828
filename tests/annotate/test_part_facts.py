"""The wall is named from the servers' metrics, on real parts and a server that publishes them as vLLM does."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from annotate.caption import CaptionSettings, caption_stage
from annotate.part_facts import WALLS, Costs, require_described, sum_costs
from moodarchive.chat.server_phases import ServerPhases
from moodarchive.errors import ServiceError
from moodarchive.running.stage import run_part
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import CAPTIONS
from tests.annotate.described_part import GOOD, Picture, VisionServer, serving, write_inputs

FIGURES: dict[str, Any] = {
    "parts": 1, "pictures": 10, "tokens_in": 1, "tokens_out": 1, "seconds": 10.0, "answers": 10, "queued_s": 0.0,
    "served_s": 100.0, "lost": 0, "slowest": 1.0, "fastest": 1.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("phases", "wall"),
    [
        (ServerPhases(requests=10, queue=5.0, prefill=5.0, decode=20.0), "preparing"),
        (ServerPhases(requests=10, queue=80.0, prefill=5.0, decode=10.0), "waiting"),
        (ServerPhases(requests=10, queue=5.0, prefill=70.0, decode=10.0), "prefill"),
        (ServerPhases(requests=5, queue=1.0, prefill=5.0, decode=35.0), "decode"),
    ],
)
def test_the_wall_is_the_longest_phase_with_what_to_change(phases: ServerPhases, wall: str) -> None:
    costs = Costs(**FIGURES, phases=phases)
    assert costs.wall.startswith(f"the wall is {wall} (") and costs.wall.endswith(WALLS[wall])
    assert costs.wall in costs.describe()
    assert sum(costs.shares.values()) == pytest.approx(10.0)


def test_without_metrics_no_wall_is_named() -> None:
    costs = Costs(**FIGURES)
    assert (costs.shares, costs.wall) == ({}, "") and "wall" not in costs.describe()


class Metrics:
    """Publishes the phases of the requests that the server has answered, a second of decoding each."""

    def __init__(self, server: VisionServer) -> None:
        self.server = server

    async def handle(self, request: web.Request) -> web.Response:
        count = len(self.server.requests) + 1000  # it has served others before
        lines = [f'vllm:request_queue_time_seconds_count{{engine="0"}} {count}.0']
        for phase, seconds in {"queue": 0.25, "prefill": 0.5, "decode": 1.0}.items():
            lines.append(f'vllm:request_{phase}_time_seconds_sum{{engine="0"}} {seconds * count}')
        return web.Response(text="\n".join(lines) + "\n")


def test_a_part_records_what_its_servers_counted_while_it_was_in_work(tmp_path: Path) -> None:
    with serving() as server:
        server.reply = lambda request: json.dumps(GOOD)
        server.metrics = Metrics(server).handle
        store, _ = write_inputs(tmp_path, [Picture(phrase=f"tree {number}") for number in range(8)])
        stage = caption_stage(CaptionSettings(servers=(server.url,), in_flight=4))
        run_part(stage, store, stage.make_worker(), 0)
    sidecars = finished_parts(store, CAPTIONS)
    assert sidecars[0].measured["server_requests"] == 8
    assert sidecars[0].measured["server_decode_s"] == pytest.approx(8.0)
    costs = sum_costs(sidecars.values())
    assert costs is not None and costs.wall.startswith("the wall is decode (")
    assert costs.shares["waiting"] == pytest.approx(0.25) and costs.shares["prefill"] == pytest.approx(0.5)


def test_parts_of_which_every_caption_failed_are_not_gone_on_with(tmp_path: Path) -> None:
    with serving() as server:
        server.reply = lambda request: "A tree." if request.phrase.startswith("tree") else json.dumps(GOOD)
        write_inputs(tmp_path, [Picture(phrase=f"tree {number}") for number in range(3)])
        store, _ = write_inputs(tmp_path, [Picture(phrase="bush")], part=1)
        stage = caption_stage(CaptionSettings(servers=(server.url,), in_flight=4))
        worker = stage.make_worker()
        run_part(stage, store, worker, 0)
        with pytest.raises(ServiceError, match=r"not one of 3 pictures was captioned \(not_json 3\).*--retry captions"):
            require_described(finished_parts(store, CAPTIONS).values())
        run_part(stage, store, worker, 1)
    require_described(finished_parts(store, CAPTIONS).values())
    require_described([])
