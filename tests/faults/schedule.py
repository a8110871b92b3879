"""The faults, one after the other on the running service, and the rules that hold meanwhile.

1. No answer comes later than 5 seconds.
2. Reads of known products and favorites go on through any single fault but PostgreSQL's.
3. 5 seconds after a fault everything answers as before.
4. Whatever fails is a 503 that says when to try again: never a 500, never another client's answer.
5. No acknowledged write is lost, and the events tell of all of them.
"""

import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from local.servers.catalog import Catalog
from local.servers.postgres import Postgres
from local.servers.services import wait_until
from local.servers.valkey import Valkey
from tests.e2e.console_run import ConsoleRun
from tests.faults.ledger import disagreements, lost_writes
from tests.faults.load import READS, Load, Sample, failures
from tests.faults.proxy import NONE, Fault, FaultProxy, Mode
from tests.model import events

LATEST = 5.0  # seconds that any answer may take
RECOVERED = 5.0  # seconds after a fault until all is as before
WORKERS = 8

POSTGRES, VALKEY, CATALOG = "PostgreSQL", "Valkey", "the catalog"


@dataclass(frozen=True)
class Trouble:
    """A fault of one server: how its connections fare, or None where the server is killed (SIGKILL)."""

    server: str
    what: str
    fault: Fault | None

    def __str__(self) -> str:
        return f"{self.server} {self.what}"


LATE = {POSTGRES: 0.3, VALKEY: 0.05, CATALOG: 1.0}  # seconds, which a request can bear
FAULTS: dict[str, Fault | None] = {
    "refuses": Fault(Mode.REFUSE),
    "accepts and says nothing": Fault(Mode.SILENT),
    "vanishes": Fault(Mode.VANISHED),
    "answers {late:g} s late": Fault(Mode.LATE),
    "answers 4 s late": Fault(Mode.LATE, 4.0),
    "sends 20 bytes a second": Fault(Mode.TRICKLE, 0.05),
    "resets": Fault(Mode.RESET),
    "is cut off in an answer": Fault(Mode.CUT),
    "is cut off before an answer": Fault(Mode.SWALLOW),
    "loses one answer in twenty": Fault(Mode.SWALLOW, share=0.05),  # what is asked again is answered
    "is killed": None,
}
ALL = tuple(
    Trouble(server, what.format(late=late), fault if fault != Fault(Mode.LATE) else Fault(Mode.LATE, late))
    for server, late in LATE.items()
    for what, fault in FAULTS.items()
    if fault is not None or server != CATALOG
)


class Scene:
    """`make run` with a proxy before each of its servers; `log` gets a line for what happens.

    To be used in a `with`. All it keeps is in `folder`.
    """

    def __init__(self, folder: Path) -> None:
        self._postgres = Postgres(folder / "servers" / "postgres")
        self._valkey = Valkey(folder / "servers")
        self._catalog = Catalog()
        self._proxies: dict[str, FaultProxy] = {}
        self._folder = folder
        self._running = ExitStack()
        self.url = ""

    def __enter__(self) -> "Scene":
        try:
            self._start()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _start(self) -> None:
        enter = self._running.enter_context
        enter(self._postgres)
        enter(self._valkey)
        self._running.callback(self._catalog.stop)
        self._catalog.start()
        direct = {POSTGRES: self._postgres.url, VALKEY: self._valkey.url, CATALOG: self._catalog.url}
        self._proxies = {name: enter(FaultProxy(_port(url))) for name, url in direct.items()}
        self._run = ConsoleRun(
            "run",
            self._folder,
            ready=90,
            DATABASE_URL=self._through(POSTGRES, direct[POSTGRES]),
            REDIS_URL=self._through(VALKEY, direct[VALKEY]),
            CATALOG_URL=self._through(CATALOG, direct[CATALOG]),
            # Products are stale soon and the schedules run often: within a fault, not once in five of them.
            PRODUCT_CACHE_TTL_SECONDS="5",
            LOCAL_SCHEDULE_SECONDS="3",
            # On Lambda no request waits for another one's environment.
            LOCAL_CONCURRENCY=str(WORKERS),
        )
        self._running.callback(self._run.close)
        self.url = self._run.wait_until_ready()

    def _through(self, server: str, url: str) -> str:
        return url.replace(f":{_port(url)}", f":{self._proxies[server].port}")

    @contextmanager
    def trouble(self, trouble: Trouble) -> Iterator[None]:
        """Let the server fare so, and well again afterwards."""
        if trouble.fault is not None:
            self._proxies[trouble.server].set(trouble.fault)
            yield
            self._proxies[trouble.server].set(NONE)
        else:
            server = self._postgres if trouble.server == POSTGRES else self._valkey
            server.kill()
            yield
            server.start()

    @property
    def database_url(self) -> str:
        return self._postgres.url

    def console(self) -> str:
        return self._run.text()


@dataclass(frozen=True)
class Outcome:
    """What a fault did to the requests: those under way while it lasted, and those after it."""

    trouble: Trouble
    during: list[Sample]
    afterwards: list[Sample]  # until the next fault
    ended: float
    slow: float  # seconds that a request takes which is not as before

    def _bad(self, since: float) -> list[Sample]:
        return [
            it for it in self.afterwards if it.started >= since and (it.failure or it.seconds > self.slow)
        ]

    def row(self) -> tuple[str, ...]:
        normal = max((sample.started - self.ended for sample in self._bad(self.ended)), default=0.0)
        return (str(self.trouble), *_figures(self.during), f"{normal:.1f}")

    def broken_rules(self) -> Iterator[str]:
        """Each rule that this fault broke, with an example."""
        everything = [*self.during, *self.afterwards]
        late = sorted((it for it in everything if it.seconds > LATEST), key=lambda it: -it.seconds)
        failed = [it for it in everything if it.kind in READS and it.failure]
        wrong = [it for it in everything if it.failure and it.failure not in PATIENCE]
        for what, found in (
            (f"answers later than {LATEST:g} s", late),
            ("reads failed", failed if self.trouble.server != POSTGRES else []),
            (f"answers not as before {RECOVERED:g} s after it", self._bad(self.ended + RECOVERED)),
            ("failures that are no 503", wrong),
        ):
            if found:
                one = found[0]
                how = f"{one.kind}: {one.failure or one.status} after {one.seconds:.2f} s"
                yield f"{len(found)} {what}, such as {how}"


@dataclass(frozen=True)
class _Spell:
    trouble: Trouble
    began: float
    ended: float
    watched_until: float

    def outcome(self, load: Load, slow: float) -> Outcome:
        during = load.under_way(self.began, self.ended)
        return Outcome(self.trouble, during, load.between(self.ended, self.watched_until), self.ended, slow)


PATIENCE = {"503 database-unavailable", "503 catalog-unavailable", "503 health down"}
HEADINGS = ("fault", "requests", "failures", "p50", "p99", "longest", "until normal")


def _figures(samples: Sequence[Sample]) -> tuple[str, ...]:
    """How many, what failed, and the p50, p99 and longest of their times."""
    took = sorted(sample.seconds for sample in samples) or [0.0]
    failed = ", ".join(f"{count} x {name}" for name, count in failures(samples).most_common()) or "none"
    times = (f"{statistics.median(took):.3f}", f"{took[int(0.99 * len(took))]:.3f}", f"{took[-1]:.2f}")
    return (str(len(samples)), failed, *times)


@dataclass(frozen=True)
class Report:
    before: list[Sample]
    outcomes: list[Outcome]
    broken: list[str]
    accounts: int
    acknowledged: int

    def table(self) -> str:
        rows = [HEADINGS, ("---",) * len(HEADINGS), ("none", *_figures(self.before), "")]
        return "\n".join(f"| {' | '.join(row)} |" for row in [*rows, *(it.row() for it in self.outcomes)])


def _is_warm(samples: Sequence[Sample]) -> bool:
    """Whether every function has started: no cold start among the last requests of all workers."""
    last = samples[-10 * WORKERS :]
    return len(last) == 10 * WORKERS and max(sample.seconds for sample in last) < 1


def run(
    scene: Scene,
    troubles: Sequence[Trouble],
    *,
    before: float,
    lasting: float,
    watch: float,
    log: Callable[[str], None],
) -> Report:
    """Put the service through the troubles, each `lasting` seconds and watched for `watch` afterwards.

    `before` is how many seconds it works without any. Each outcome is one line on `log`.
    """
    load = Load(scene.url, WORKERS)
    load.start()
    # The first requests of each function find it cold: they are not what the rest is compared with.
    time.sleep(before / 2)
    wait_until(lambda: _is_warm(load.samples), timeout=60)  # longer on a busy machine
    began = time.monotonic()
    time.sleep(before / 2)
    wait_until(lambda: len(load.between(began, time.monotonic())) > 0, timeout=30)
    quiet = load.between(began, time.monotonic())
    # Twice what the slowest took, or what a cold start may take where none was among them.
    slow = max(1.5, 2 * max(sample.seconds for sample in quiet))
    spells: list[_Spell] = []
    try:
        for trouble in troubles:
            spells.append(_befall(scene, load, trouble, lasting, watch))
            log(f"| {' | '.join(spells[-1].outcome(load, slow).row())} |")
    finally:
        load.stop()
    outcomes = [spell.outcome(load, slow) for spell in spells]  # with the last answers too
    broken = [f"{outcome.trouble}: {rule}" for outcome in outcomes for rule in outcome.broken_rules()]
    if failed := failures(quiet):
        broken.append(f"before any fault: {dict(failed)}")
    broken += [f"an answer that cannot be: {each}" for each in load.contradictions]
    broken += [f"acknowledged, and not so: {each}" for each in lost_writes(load.accounts, scene.database_url)]
    broken += [f"events: {each}" for each in _unsent(scene)]
    broken += [f"the console: {line}" for line in _alarming(scene.console())]
    writes = {"add", "create", "remove", "register", "refresh", "leave"}
    acknowledged = sum(1 for sample in load.samples if sample.kind in writes and 200 <= sample.status < 300)
    return Report(quiet, outcomes, broken, len(load.accounts), acknowledged)


def _befall(scene: Scene, load: Load, trouble: Trouble, lasting: float, watch: float) -> _Spell:
    began = time.monotonic()
    with scene.trouble(trouble):
        time.sleep(lasting)
    ended = time.monotonic()
    time.sleep(RECOVERED)
    load.settled += 1
    time.sleep(watch)
    return _Spell(trouble, began, ended, time.monotonic())


def _unsent(scene: Scene) -> list[str]:
    """Where the events do not add up to the rows, once the publisher has had the time to send them."""
    found: list[str] = []

    def agree() -> bool:
        found[:] = disagreements(events.all_of(scene.console, scene.database_url), scene.database_url)
        return not found

    wait_until(agree, timeout=10, interval=0.5)
    return found


def _alarming(console: str) -> list[str]:
    """Lines that no fault of a server should lead to, each once, with how often."""
    # A traceback is none: it is how a run of a schedule fails, and of a request it is a 500, which is seen.
    lines = re.findall(r"^.*(?:Task timed out|Runtime\.\w+|unforeseen).*$", console, re.MULTILINE)
    counted = Counter(re.sub(r"\d+", "0", line)[:160] for line in lines)
    return [f"{count} x {line}" for line, count in counted.most_common(10)]


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
