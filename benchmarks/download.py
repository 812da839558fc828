"""Downloads against img2dataset: images a second and CPU seconds an image, from one static server, side by side.

Needs nginx and the extra ``img2dataset``. Both fetch the same JPEGs of 1 to 4 megapixels over loopback, shrink them to
a longest side of 512 at quality 92 and take a sha256; ours also takes a perceptual hash, asks for robots.txt, vets
every address and writes a whole part. img2dataset reads no EXIF here, and runs at the best of four settings. The clock
runs from the first request for a picture to the last byte written; the CPU seconds of a run over eight pictures, the
start-up, are taken off. The server's CPU seconds are told apart.
"""

import argparse
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import psutil
import pyarrow.parquet as pq
import simplejpeg
from PIL import Image

from crawl.download import DownloadSettings, download_stage
from crawl.politeness.rate_limit_client import RateLimitClient
from crawl.politeness.rate_limits import parse_limit
from moodarchive.running.stage import run_part
from moodarchive.storage.store import Store
from moodarchive.tables.keys import image_key
from moodarchive.tables.parts import Origin, write_part
from moodarchive.tables.schemas import ITEMS, as_batch, empty_row

SIDE, QUALITY, START_UP = 512, 92, 8
PEER_SETTINGS = ((1, 16), (2, 8), (2, 32), (4, 16))
"""(processes, threads in each) of img2dataset."""
WHERE = Path(tempfile.gettempdir()) / "moodarchive-benchmark-download"
MINE, THEIRS = WHERE / "ours", WHERE / "peer"
HOST = "stock.test"
NGINX = """
worker_processes 1; pid {here}/pid; error_log {here}/error.log; events {{ worker_connections 1024; }}
http {{ log_format at "$msec $uri"; access_log {here}/requests at; sendfile on;
  keepalive_requests 1000000; types {{ image/jpeg jpg; }}
  client_body_temp_path {here}/b; proxy_temp_path {here}/p; fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u;
  scgi_temp_path {here}/s; server {{ listen 127.0.0.1:{port}; root {root}; }} }}
"""


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, of CPU in all processes of the client, and of CPU in the server."""

    wall: float
    cpu: float
    server: float


@dataclass(frozen=True)
class Server:
    """A running nginx: its port, its processes, and the file that tells when what was asked for."""

    port: int
    process: psutil.Process
    requests: Path

    def cpu(self) -> float:
        return float(sum(sum(process.cpu_times()[:2]) for process in [self.process, *self.process.children()]))

    def first_request(self) -> float:
        """When the first picture was asked for, in seconds since 1970."""
        lines = self.requests.read_text().splitlines()
        return min(float(line.split()[0]) for line in lines if line.endswith(".jpg"))


def photograph(random: np.random.Generator, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Noise at every scale, weaker the finer, with correlated colours and a camera's grain: JPEGs of a photo's size."""
    picture, cells, strength = np.zeros((height, width, 3), np.float32), 6, 70.0
    while cells < width:
        grid = random.normal(size=(max(2, cells * height // width), cells, 3)).astype(np.float32)
        grid = 0.35 * grid + grid.mean(2, keepdims=True)
        picture += strength * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        cells, strength = 2 * cells, 0.62 * strength
    picture = picture / picture.std() * 55 + 118 + random.normal(0, 1.5, picture.shape)
    return np.asarray(picture.clip(0, 255), np.uint8)


def make_pictures(count: int) -> Path:
    """Crops of a few large pictures, 1 to 4 megapixels each; kept for the next run."""
    folder = WHERE / f"pictures-{count}"
    if (folder / "done").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    grounds = [photograph(random, 2600, 2600) for _ in range(12)]
    for number in range(count):
        area, ratio = random.uniform(1e6, 4e6), random.choice([1.5, 4 / 3, 1.0, 2 / 3])
        width, height = int((area * ratio) ** 0.5), int((area / ratio) ** 0.5)
        x, y = random.integers(0, 2600 - width + 1), random.integers(0, 2600 - height + 1)
        crop = np.ascontiguousarray(grounds[number % 12][y : y + height, x : x + width])
        jpeg = simplejpeg.encode_jpeg(crop, quality=int(random.integers(82, 94)), colorsubsampling="420")
        (folder / f"{number}.jpg").write_bytes(jpeg)
    (folder / "done").touch()
    return folder


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """An nginx of our own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as here:
        Path(here).chmod(0o755)
        (Path(here) / "conf").write_text(NGINX.format(here=here, port=port, root=folder))
        server = subprocess.Popen(["nginx", "-p", here, "-c", f"{here}/conf", "-g", "daemon off;"])
        try:
            while socket.socket().connect_ex(("127.0.0.1", port)):
                assert server.poll() is None, "nginx did not start"
                time.sleep(0.05)
            yield Server(port, psutil.Process(server.pid), Path(here) / "requests")
        finally:
            server.terminate()
            server.wait()


def cost_of(command: list[str], server: Server, written: Callable[[], list[Path]]) -> Cost:
    """Of a client that asks the server for pictures; ``written`` names its output afterwards."""
    server.requests.write_bytes(b"")
    before, served = resource.getrusage(resource.RUSAGE_CHILDREN), server.cpu()
    with tempfile.TemporaryDirectory() as litter:  # wandb, which img2dataset imports, leaves folders behind
        environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "TMPDIR": litter}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(
        wall=max(path.stat().st_mtime for path in written()) - server.first_request(),
        cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        server=server.cpu() - served,
    )


def ours(server: Server, count: int) -> Cost:
    """One part of so many rows, merged before the clock starts."""
    shutil.rmtree(MINE, ignore_errors=True)
    rows = [empty_row(ITEMS, key=image_key("bench", str(i)), url=f"http://{HOST}/{i}.jpg") for i in range(count)]
    rows.sort(key=lambda row: str(row["key"]))
    write_part(Store(str(MINE)), ITEMS, 0, [as_batch(ITEMS, rows)], Origin(settings="", inputs={}, started=0.0))
    command = [sys.executable, __file__, "--part", str(MINE), str(server.port)]
    cost = cost_of(command, server, lambda: list((MINE / "images").iterdir()))
    done = pq.read_table(MINE / "images" / "00000.parquet", columns=["status"])["status"].to_pylist()
    assert done == ["ok"] * count, f"{done.count('ok')} of {count} pictures"
    return cost


def _download_part(root: str, port: str) -> None:
    store = Store(root)
    rate_limits = RateLimitClient(store=store, host_limit=parse_limit("100000/s"))
    settings = DownloadSettings(longest_side=SIDE, jpeg_quality=QUALITY)
    stage = download_stage(settings, "benchmark (mailto:someone@a.example)", {HOST: f"127.0.0.1:{port}"}, rate_limits)
    run_part(stage, store, stage.make_worker(), 0)


def peer(server: Server, count: int, processes: int, threads: int) -> Cost:
    """img2dataset, writing Parquet as we do; shards small enough that every process has work."""
    shutil.rmtree(THEIRS, ignore_errors=True)
    THEIRS.mkdir(parents=True)
    (THEIRS / "urls.txt").write_text("".join(f"http://127.0.0.1:{server.port}/{i}.jpg\n" for i in range(count)))
    options = dict(
        url_list=THEIRS / "urls.txt", output_folder=THEIRS / "out", processes_count=processes, thread_count=threads,
        image_size=SIDE, resize_mode="keep_ratio_largest", resize_only_if_bigger=True, encode_quality=QUALITY,
        output_format="parquet", number_sample_per_shard=max(1, min(250, count // processes)), extract_exif=False,
        enable_wandb=False, input_format="txt",
    )  # fmt: skip
    command = [sys.executable, "-m", "img2dataset.main", *(f"--{name}={value}" for name, value in options.items())]
    cost = cost_of(command, server, lambda: list((THEIRS / "out").glob("*.parquet")))
    shards = sorted((THEIRS / "out").glob("*.parquet"))
    done = [status for shard in shards for status in pq.read_table(shard)["status"].to_pylist()]
    assert done == ["success"] * count, f"img2dataset: {done.count('success')} of {count} pictures"
    return cost


def quality(folder: Path, sample: int) -> float:
    """The lowest PSNR (dB) of ours against a full decode that Lanczos shrinks."""
    table = pq.read_table(MINE / "images" / "00000.parquet", columns=["key", "bytes"])
    kept = dict(zip(table["key"].to_pylist(), table["bytes"].to_pylist(), strict=True))
    found = []
    for number in range(sample):
        pixels = simplejpeg.decode_jpeg(kept[image_key("bench", str(number))])
        full = Image.fromarray(simplejpeg.decode_jpeg((folder / f"{number}.jpg").read_bytes()))
        best = np.asarray(full.resize((pixels.shape[1], pixels.shape[0]), Image.Resampling.LANCZOS), np.float64)
        found.append(10 * np.log10(255**2 / np.mean((pixels - best) ** 2)))
    return float(min(found))


def bare_rate(folder: Path, count: int) -> float:
    """Files decoded at full size a second, on every core, with nothing else done."""
    files = [(folder / f"{number}.jpg").read_bytes() for number in range(count)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        began = time.perf_counter()
        for _ in pool.map(lambda file: simplejpeg.decode_jpeg(file).shape, files):
            pass
        return count / (time.perf_counter() - began)


def _claim(claim: str, mine: float, other: float, unit: str, bar: float, *, is_cost: bool = False) -> dict[str, object]:
    ratio = other / mine if is_cost else mine / other
    return {
        "claim": claim, "ours": round(mine, 4), "peer": round(other, 4), "unit": unit, "ratio": round(ratio, 3),
        "bar": bar, "met": ratio >= bar,
    }  # fmt: skip


def _medians(costs: list[Cost], start_up: Cost, count: int) -> tuple[float, float]:
    """(images a second, CPU seconds an image)."""
    cpu = statistics.median(cost.cpu for cost in costs) - start_up.cpu
    return count / statistics.median(cost.wall for cost in costs), cpu / count


def compare(count: int, rounds: int, tried: int, folder: Path, server: Server) -> None:
    trials = {setting: round(peer(server, tried, *setting).wall, 2) for setting in PEER_SETTINGS}
    best = min(trials, key=lambda setting: trials[setting])
    print(f"img2dataset, {tried} pictures, seconds of (processes, threads): {trials}", file=sys.stderr)
    our_start, peer_start = ours(server, START_UP), peer(server, START_UP, *best)
    mine, others = [], []
    for _ in range(rounds):
        others.append(peer(server, count, *best))
        mine.append(ours(server, count))
        print(f"ours {mine[-1]}, img2dataset {others[-1]}", file=sys.stderr)
    (rate, cpu), (peer_rate, peer_cpu) = _medians(mine, our_start, count), _medians(others, peer_start, count)
    claims = [
        _claim("images downloaded and shrunk a second", rate, peer_rate, "images/s", 2.0),
        _claim("CPU an image", cpu, peer_cpu, "s", 2.0, is_cost=True),
        _claim("lowest PSNR of 40 pictures to full decoding and Lanczos", quality(folder, 40), 35.0, "dB", 1.0),
        _claim("beside bare decoding at full size, on all cores", rate, bare_rate(folder, 400), "images/s", 0.5),
    ]  # fmt: skip
    for claim in [*claims, min(claims, key=lambda claim: float(str(claim["ratio"])) / float(str(claim["bar"])))]:
        print(json.dumps(claim))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--images", type=int, default=2000)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--tried", type=int, default=400, help="pictures for each of img2dataset's settings")
    asked.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.part:
        return _download_part(*options.part)
    if shutil.which("nginx") is None:
        sys.exit("nginx is not installed; remedy: apt-get install nginx-light")
    folder = make_pictures(options.images)
    with serving(folder) as server:
        compare(options.images, options.rounds, options.tried, folder, server)
    return None


if __name__ == "__main__":
    main()
