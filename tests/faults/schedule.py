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


def _troubles() -> Iterator[Trouble]:
    for server, late in ((POSTGRES, 0.3), (VALKEY, 0.05), (CATALOG, 1.0)):
        yield Trouble(server, "refuses", Fault(Mode.REFUSE))
        yield Trouble(server, "accepts and says nothing", Fault(Mode.SILENT))
        yield Trouble(server, "vanishes", Fault(Mode.VANISHED))
        yield Trouble(server, f"answers {late:g} s late", Fault(Mode.LATE, late))
        yield Trouble(server, "answers 4 s late", Fault(Mode.LATE, 4.0))
        yield Trouble(server, "sends 20 bytes a second", Fault(Mode.TRICKLE, 0.05))
        yield Trouble(server, "resets", Fault(Mode.RESET))
        yield Trouble(server, "is cut off in an answer", Fault(Mode.CUT))
        yield Trouble(server, "is cut off before an answer", Fault(Mode.SWALLOW))
        # Now and then, so that what is asked again is answered.
        yield Trouble(server, "loses one answer in twenty", Fault(Mode.SWALLOW, share=0.05))
        if server != CATALOG:
            yield Trouble(server, "is killed", None)


ALL = tuple(_troubles())


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
        """The database, past its proxy."""
        return self._postgres.url

    def console(self) -> str:
        """What the console of `make run` shows."""
        return self._run.text()


@dataclass(frozen=True)
class Outcome:
    """What a fault did to the requests: those under way while it lasted, and those after it."""

    trouble: Trouble
    during: list[Sample]
    after: list[Sample]  # that began within RECOVERED seconds after it
    as_before: list[Sample]  # from then on, until the next fault
    ended: float
    slow: float  # seconds that a request takes which is not as before

    @property
    def seconds_to_normal(self) -> float:
        """Seconds after the fault until the last request began that failed or was slow."""
        bad = [sample.started for sample in [*self.after, *self.as_before] if self._is_bad(sample)]
        return max(bad) - self.ended if bad else 0.0

    def _is_bad(self, sample: Sample) -> bool:
        return sample.failure is not None or sample.seconds > self.slow

    def row(self) -> tuple[str, ...]:
        """The outcome as the table shows it; times in seconds."""
        took = sorted(sample.seconds for sample in self.during) or [0.0]
        failed = failures(self.during)
        return (
            str(self.trouble),
            str(len(self.during)),
            ", ".join(f"{count} x {name}" for name, count in failed.most_common()) or "none",
            f"{statistics.median(took):.3f}",
            f"{took[int(0.99 * len(took))]:.3f}" if len(took) > 1 else f"{took[0]:.3f}",
            f"{took[-1]:.2f}",
            f"{self.seconds_to_normal:.1f}",
        )

    def broken_rules(self) -> Iterator[str]:
        """Each rule that this fault broke, with an example."""
        everything = [*self.during, *self.after, *self.as_before]
        if late := [sample for sample in everything if sample.seconds > LATEST]:
            worst = max(late, key=lambda sample: sample.seconds)
            yield f"{len(late)} answers later than {LATEST:g} s, such as {_told(worst)}"
        if self.trouble.server != POSTGRES and (
            failed := [sample for sample in everything if sample.kind in READS and sample.failure]
        ):
            yield f"{len(failed)} reads failed, such as {_told(failed[0])}"
        if bad := [sample for sample in self.as_before if self._is_bad(sample)]:
            yield f"{len(bad)} answers not as before {RECOVERED:g} s after it, such as {_told(bad[0])}"
        if wrong := [sample for sample in everything if sample.failure and not _is_patience(sample.failure)]:
            yield f"{len(wrong)} failures that are no 503, such as {_told(wrong[0])}"


@dataclass(frozen=True)
class _Spell:
    """When a fault was (time.monotonic)."""

    trouble: Trouble
    began: float
    ended: float
    watched_until: float

    def outcome(self, load: Load, slow: float) -> Outcome:
        normal = self.ended + RECOVERED
        afterwards = load.between(self.ended, self.watched_until)
        return Outcome(
            trouble=self.trouble,
            during=load.under_way(self.began, self.ended),
            after=[sample for sample in afterwards if sample.started < normal],
            as_before=[sample for sample in afterwards if sample.started >= normal],
            ended=self.ended,
            slow=slow,
        )


HEADINGS = ("fault", "requests", "failures", "p50", "p99", "longest", "until normal")


def _is_patience(failure: str) -> bool:
    return failure in {"503 database-unavailable", "503 catalog-unavailable", "503 health down"}


def _told(sample: Sample) -> str:
    return f"{sample.kind}: {sample.failure or sample.status} after {sample.seconds:.2f} s"


@dataclass(frozen=True)
class Report:
    """What a run of the schedule showed; `broken` has a sentence for each rule that was."""

    before: list[Sample]
    outcomes: list[Outcome]
    broken: list[str]
    accounts: int
    acknowledged: int

    def table(self) -> str:
        """The outcomes in Markdown."""
        took = sorted(sample.seconds for sample in self.before)
        quiet = (
            *("none", str(len(took)), ", ".join(failures(self.before)) or "none"),
            *(f"{statistics.median(took):.3f}", f"{took[int(0.99 * len(took))]:.3f}", f"{took[-1]:.2f}", ""),
        )
        rows = [HEADINGS, ("---",) * len(HEADINGS), quiet, *(outcome.row() for outcome in self.outcomes)]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


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
    load.settle()
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
