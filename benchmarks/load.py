"""What a load test needs, from the standard library alone: a server process, clients on its port, and their times."""

from __future__ import annotations

import http.client
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HOST = "127.0.0.1"
PIECE = 2**20
"""Bytes that are read from an answer at a time."""
START_S = 120.0
"""A server that does not answer for so long never will."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request."""

    path: str
    """With its query; also a whole URL, of which the host is left out."""
    body: bytes | None = None
    """Makes it a POST of JSON."""
    gzip: bool = False

    def sent(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        """Send it; return the answer, whose body is still to be read."""
        parts = urlsplit(self.path)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        headers = {"Accept-Encoding": "gzip" if self.gzip else "identity"}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        connection.request("GET" if self.body is None else "POST", target, self.body, headers)
        return connection.getresponse()


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer."""

    seconds: float
    """From the request to the last byte."""
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def next(self) -> str | None:
        """The address of the next page, from the Link header."""
        for each in self.headers.get("link", "").split(", <"):
            if 'rel="next"' in each:
                return each.lstrip("<").split(">")[0]
        return None


@dataclass(kw_only=True)
class Times:
    """What several requests took."""

    name: str
    seconds: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """Bytes of each body as sent."""
    features: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    wall_s: float = 0.0
    clients: int = 1
    note: str = ""
    beside: Times | None = None
    """Of our own server, for a ratio."""

    def quantile_ms(self, share: float) -> float:
        """The time that `share` of the requests did not pass; NaN without any."""
        every = sorted(self.seconds)
        return 1000 * every[min(len(every) - 1, int(share * len(every)))] if every else float("nan")

    def summary(self) -> dict[str, Any]:
        """For the JSON."""
        count = len(self.seconds)
        return {
            "name": self.name,
            "requests": count,
            "clients": self.clients,
            "errors": len(self.errors),
            "first_error": self.errors[0] if self.errors else None,
            "p50_ms": self.quantile_ms(0.50),
            "p95_ms": self.quantile_ms(0.95),
            "p99_ms": self.quantile_ms(0.99),
            "requests_per_s": count / self.wall_s if self.wall_s else None,
            "mean_kb": sum(self.sizes) / len(self.sizes) / 1000 if self.sizes else None,
            "ours_over_it": self.beside.quantile_ms(0.5) / self.quantile_ms(0.5) if self.beside else None,
            "mean_features": sum(self.features) / len(self.features) if self.features else None,
            "note": self.note,
        }


@dataclass(frozen=True, kw_only=True)
class Client:
    """One connection that is kept alive."""

    port: int
    timeout_s: float = 120.0
    _kept: list[http.client.HTTPConnection] = field(default_factory=list, repr=False)

    def ask(self, ask: Ask) -> Reply:
        """Send a request and read the whole answer. Raises OSError, http.client.HTTPException."""
        connection = self._connection()
        started = time.perf_counter()
        try:
            answer = ask.sent(connection)
            body = answer.read()
        except BaseException:
            self.close()
            raise
        seconds = time.perf_counter() - started
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(seconds=seconds, status=answer.status, headers=headers, body=body)

    def close(self) -> None:
        """Hang up; the next request connects anew."""
        while self._kept:
            self._kept.pop().close()

    def _connection(self) -> http.client.HTTPConnection:
        if not self._kept:
            connection = http.client.HTTPConnection(HOST, self.port, timeout=self.timeout_s)
            connection.connect()  # outside the time of the first request, as for all others
            # Without it a request with a body waits 40 ms for the server's delayed acknowledgement.
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._kept.append(connection)
        return self._kept[0]


Seen = Callable[[Reply], int | None]
"""Reads the number of features from an answer, after its time is taken."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Requests to one server under one name."""

    port: int
    name: str
    asks: Sequence[Ask]
    features: Seen


def one_by_one(run: Run, *, budget_s: float = 600.0) -> Times:
    """Send requests one after the other over one connection, until they or the seconds run out."""
    return side_by_side([run], budget_s=budget_s)[0]


def side_by_side(runs: Sequence[Run], *, budget_s: float) -> list[Times]:
    """Ask several servers in turn, never two at once: what else the machine does then slows them all alike."""
    every = [Times(name=run.name) for run in runs]
    clients = [Client(port=run.port) for run in runs]
    end = time.perf_counter() + budget_s
    try:
        for asks in zip(*(run.asks for run in runs), strict=True):
            for run, ask, client, times in zip(runs, asks, clients, every, strict=True):
                _timed(client, ask, times, run.features)
            if time.perf_counter() > end:
                for times in every:
                    times.note = f"stopped after {budget_s:.0f} s"
                break
    finally:
        for client in clients:
            client.close()
    for times in every:
        times.wall_s = sum(times.seconds)
    return every


def crowd(run: Run, *, clients: int, each: int, budget_s: float = 600.0) -> Times:
    """`clients` connections at once, each with `each` requests; each begins at another of the run's."""
    waiting: queue.SimpleQueue[Times] = queue.SimpleQueue()
    gate = threading.Barrier(clients + 1)
    end = time.perf_counter() + budget_s

    def work(number: int) -> None:
        times, client = Times(name=run.name), Client(port=run.port)
        gate.wait(60)
        try:
            for turn in range(each):
                _timed(client, run.asks[(number * each + turn) % len(run.asks)], times, run.features)
                if time.perf_counter() > end:
                    times.note = f"stopped after {budget_s:.0f} s"
                    break
        finally:
            client.close()
            waiting.put(times)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(clients)]
    for thread in threads:
        thread.start()
    gate.wait(60)
    started = time.perf_counter()
    for thread in threads:
        thread.join(budget_s + 180)
    return _together(run.name, [waiting.get(timeout=1) for _ in threads], clients, time.perf_counter() - started)


def _together(name: str, parts: Sequence[Times], clients: int, wall_s: float) -> Times:
    return Times(
        name=name,
        seconds=[value for part in parts for value in part.seconds],
        sizes=[value for part in parts for value in part.sizes],
        features=[value for part in parts for value in part.features],
        errors=[value for part in parts for value in part.errors],
        wall_s=wall_s,
        clients=clients,
        note=next((part.note for part in parts if part.note), ""),
    )


def _timed(client: Client, ask: Ask, times: Times, features: Seen) -> None:
    """Send one request; what is no 200 is an error, whose time does not count."""
    try:
        reply = client.ask(ask)
    except (OSError, http.client.HTTPException) as error:
        times.errors.append(f"{error!r} for {ask.path[:200]}")
        return
    if reply.status != 200:
        times.errors.append(f"{reply.status} for {ask.path[:200]}: {reply.body[:300]!r}")
        return
    times.seconds.append(reply.seconds)
    times.sizes.append(len(reply.body))
    count = features(reply)
    if count is not None:
        times.features.append(count)


@dataclass(frozen=True, kw_only=True)
class Drained:
    """A download whose bytes were counted and dropped."""

    size: int
    first_s: float
    """Until the first piece of the body had arrived."""
    seconds: float
    whole: bool
    """False where the time ran out."""

    @property
    def mb_per_s(self) -> float:
        """Millions of bytes a second, the wait for the first included."""
        return self.size / self.seconds / 1e6


def drain(port: int, path: str, *, most_s: float) -> Drained:
    """Read an answer to its end, or for `most_s` seconds. Raises OSError where it is not 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=most_s)
    buffer, size, first_s = bytearray(PIECE), 0, 0.0
    started = time.perf_counter()
    try:
        answer = Ask(path=path).sent(connection)
        if answer.status != 200:
            raise OSError(f"{answer.status} for {path}: {answer.read(500)!r}")
        while count := answer.readinto(buffer):
            first_s = first_s or time.perf_counter() - started
            size += count
            if time.perf_counter() - started > most_s:
                break
        return Drained(size=size, first_s=first_s, seconds=time.perf_counter() - started, whole=not count)
    finally:
        connection.close()


class Server:
    """A server on a free port of this machine, for the length of a `with`."""

    def __init__(
        self, command: Callable[[int], Sequence[str]], *, log: Path, ready: str, environment: Mapping[str, str] = {}
    ) -> None:
        """`command` is given the port; the server is up when `ready` answers 200."""
        self.port = free_port()
        self._command, self._log, self._ready = list(command(self.port)), log, ready
        self._environment = {**os.environ, **environment}

    def __enter__(self) -> Server:
        """Start; wait until it answers. Raises RuntimeError with the end of its log."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=subprocess.STDOUT, env=self._environment, start_new_session=True
            )
        try:
            self.started_s = self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and what it started."""
        stop(self._process)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def _wait(self) -> float:
        started = time.perf_counter()
        while time.perf_counter() - started < START_S and self._process.poll() is None:
            try:
                if Client(port=self.port, timeout_s=START_S).ask(Ask(path=self._ready)).status == 200:
                    return time.perf_counter() - started
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)
        tail = self._log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self._command[0]} did not answer {self._ready} with 200 within {START_S:.0f} s: {tail}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session of its own, with its children."""
    for signal_number, patience_s in ((15, 10), (9, 10)):
        try:
            os.killpg(process.pid, signal_number)
            process.wait(patience_s)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        port: int = held.getsockname()[1]
        return port


def forget_peak(pid: int) -> None:
    """Let the peak of a process's memory begin at what it holds now (Linux)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def memory_mb(pid: int) -> dict[str, float]:
    """Peak and present resident memory of a process and its children, and the part that is no file's pages.

    The sum of peaks is at most too high: they need not fall together.
    """
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    every = [_memory_of(each) for each in (str(pid), *children)]
    return {name: sum(each[name] for each in every) for name in every[0]}


def _memory_of(pid: str) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = {name: float(rest.split()[0]) / 1e3 for name, _, rest in (x.partition(":") for x in lines) if "kB" in rest}
    return {"peak": found["VmHWM"], "now": found["VmRSS"], "anonymous": found["RssAnon"]}


def forget_file(path: Path) -> None:
    """Let the system forget what it holds of a file in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def read_rate(path: Path) -> float:
    """Read a file once; return MB/s."""
    started, buffer = time.perf_counter(), bytearray(PIECE)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return path.stat().st_size / (time.perf_counter() - started) / 1e6
