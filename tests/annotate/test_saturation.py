"""Served models are kept full, share the work, and lose nothing when they fail or are killed."""

import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from annotate.part_facts import sum_costs
from moodarchive.tables.parts import finished_parts
from moodarchive.tables.schemas import CAPTIONS
from pipelines.demo.captioner.server import MODEL as DEMO_MODEL
from pipelines.demo.serving import run_server
from pipelines.runner.progress import count_stages
from tests.annotate.fault_proxy import FAULTS
from tests.annotate.simulated_run import Fullness, caption_parts, events_of, fullness, write_parts

pytestmark = pytest.mark.slow
SERVER, PROXY = "tests.annotate.simulated_gpu", "tests.annotate.fault_proxy"
PARTS = 5


@pytest.mark.alone
def test_a_server_is_full_across_the_ends_of_parts(tmp_path: Path) -> None:
    # another program of the machine may hold a run up for a moment; nothing makes a stage fuller than it is
    runs = (_full_run(tmp_path / f"run-{number}") for number in range(3))
    found = next((one for one in runs if one.ratio >= 0.95 and one.longest_gap_s < 0.25), None)
    assert found, "the server had idle slots in each of three runs"


def _full_run(folder: Path) -> Fullness:
    """600 pictures in five parts at one server of 8 slots; the figures that the parts keep must be the server's."""
    store = write_parts(folder / "root", PARTS, 120)
    events = folder / "events"
    with run_server(SERVER, ["--slots", "8", "--median", "0.4", "--events", str(events)]) as url:
        rows = caption_parts(store, PARTS, [url], in_flight=10)
    assert Counter(row["status"] for row in rows) == {"ok": 600}
    found = fullness(events_of(events), slots=8)
    print(found)
    assert found.per_second <= 20
    costs = sum_costs(finished_parts(store, CAPTIONS).values())
    assert costs is not None
    assert (costs.parts, costs.tokens_in, costs.tokens_out) == (PARTS, 600 * 1500, 600 * 120)
    assert costs.per_second == pytest.approx(found.per_second, rel=0.15)
    assert 0.3 < costs.took_s < 0.8 and costs.waited_s < 1.0, costs
    assert f"caption: {PARTS}/{PARTS} parts" in (
        line := count_stages(store, [("caption", CAPTIONS)], range(PARTS))[0].line()
    )
    assert "tokens 900,000 in, 72,000 out" in line
    return found


@pytest.mark.alone
def test_two_servers_share_alike_and_a_slow_one_holds_nobody_back(tmp_path: Path) -> None:
    shares: dict[str, list[int]] = {}
    for name, second_median in (("equal", "0.2"), ("slow", "1.0")):
        store = write_parts(tmp_path / name, 3, 80)
        files = [tmp_path / f"{name}-{i}" for i in range(2)]
        with (
            run_server(SERVER, ["--slots", "4", "--median", "0.2", "--events", str(files[0])]) as first,
            run_server(SERVER, ["--slots", "4", "--median", second_median, "--events", str(files[1])]) as second,
        ):
            rows = caption_parts(store, 3, [first, second], in_flight=4)
        assert all(row["status"] == "ok" for row in rows)
        shares[name] = [len(events_of(file)) // 2 for file in files]
        if name == "slow":
            fast = events_of(files[0])
            assert fullness(fast, slots=4).ratio >= 0.75
    equal, slow = shares["equal"], shares["slow"]
    print(f"pictures at two equal servers: {equal}; at a fast one and one five times slower: {slow}")
    assert max(equal) <= 1.1 * min(equal), shares
    assert slow[0] >= 3.5 * slow[1], shares


def test_faults_in_a_fifth_of_the_answers_lose_no_row(tmp_path: Path) -> None:
    store = write_parts(tmp_path / "root", PARTS, 60)
    events = tmp_path / "events"
    with (
        run_server("pipelines.demo.captioner.server", []) as server,
        run_server(PROXY, ["--upstream", server, "--faults", "0.2", "--events", str(events)]) as url,
    ):
        rows = caption_parts(store, PARTS, [url], model=DEMO_MODEL, in_flight=10, timeout_s=2.0)
    assert len({row["key"] for row in rows}) == len(rows) == 300
    known = {"ok": {None}, "failed": {"not_json", "too_few_stimuli", "server_failed"}}
    assert all(row["error"] in known[row["status"]] for row in rows)
    assert sum(row["status"] == "ok" for row in rows) >= 295
    told = Counter(event["event"] for event in events_of(events))
    print(f"faults: {dict(told)}; rows: {dict(Counter(row['error'] or 'ok' for row in rows))}")
    assert all(told[fault] for fault in FAULTS), told
    assert 0.15 <= 1 - told["passed"] / sum(told.values()) <= 0.25, told


@dataclass
class _Killed:
    """A simulated server behind a proxy; it is killed at random moments and comes back a second later."""

    proxy: str
    port: int
    events: Path
    slots: int
    kills: int = 0
    in_flight: int = 0
    """Requests that were under way at the moments of the kills, all together."""

    def start(self) -> None:
        command = [sys.executable, "-m", SERVER, "--port", str(self.port), "--slots", str(self.slots)]
        self.process = subprocess.Popen([*command, "--median", "0.3", "--events", str(self.events)])

    def torment(self, times: int) -> None:
        random_s = random.Random(3)
        while self.kills < times:
            time.sleep(random_s.uniform(1.5, 2.5))
            if events_of(self.events) and self.process.poll() is None:
                self._kill()
                self.kills += 1
                time.sleep(1.0)
                self.start()

    def _kill(self) -> None:
        """Stopped first: while it stands still nothing is answered, so that the count is that of the kill."""
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)  # what it had sent before arrives
        with urllib.request.urlopen(f"{self.proxy}/in_flight") as answer:
            self.in_flight += int(answer.read())
        self.process.kill()
        self.process.wait()


def test_a_server_killed_five_times_costs_only_what_was_in_flight(tmp_path: Path) -> None:
    in_flight, rows_a_part = 10, 80
    store = write_parts(tmp_path / "root", PARTS, rows_a_part)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    arguments = ["--upstream", f"http://127.0.0.1:{port}", "--events", str(tmp_path / "proxied")]
    with run_server(PROXY, arguments) as proxy:
        server = _Killed(proxy, port, tmp_path / "events", slots=8)
        server.start()
        torment = threading.Thread(target=server.torment, args=(5,))
        torment.start()
        rows = caption_parts(store, PARTS, [proxy], in_flight=in_flight, timeout_s=20.0)
        kills = server.kills
        torment.join()
        server.process.kill()
        server.process.wait()
    assert kills == 5
    assert len({row["key"] for row in rows}) == len(rows) == PARTS * rows_a_part
    assert all((row["status"], row["attempts"]) == ("ok", 1) for row in rows)
    came = [event["picture"] for event in events_of(tmp_path / "events") if event["event"] == "came"]
    twice = len(came) - len(set(came))
    print(f"5 kills: {server.in_flight} requests were in flight, {twice} were made twice")
    assert 0 < twice <= server.in_flight <= 5 * in_flight, (twice, server.in_flight)
