"""Entries, list pages and leases in Valkey: what is written last loses when it is older."""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.servers.valkey import Valkey
from shared.formats.etags import etag_of
from shared.platform import valkey as cache
from shared.products import product_cache
from shared.products.product_cache import Entry, Lease, LeaseHeld, ListState, MissingEntry, entries, pages
from tests.integration import concurrency

pytestmark = pytest.mark.usefixtures("environment", "patient_cache")

NOW = 1_795_000_000.0


@pytest.fixture
def server(valkey: Valkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


def entry(
    version: int = 1, fetched_at: float = NOW, status: int = 200, body: str = '{"title":"é\\n"}'
) -> Entry:
    return Entry(status, version, fetched_at, body, etag_of(body))


# ── Entries ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body", ["", "{}", '{"title":"Zoë 🦊"}', "line\nbreaks\n\nin it", '{"a":"%d $1 \\\\"}']
)
@pytest.mark.parametrize("status", [200, 404])
def test_what_was_put_is_what_one_gets(body: str, status: int) -> None:
    put = entry(status=status, body=body)
    assert product_cache.get("7") is None
    assert product_cache.put("7", put)
    assert product_cache.get("7") == put
    assert product_cache.get("8") is None


def test_a_stale_product_is_kept_for_a_day_and_an_unknown_one_longer_than_late_answers_take(
    server: redis.Redis,
) -> None:
    product_cache.put("7", entry())
    product_cache.put("8", entry(status=404, body=""))
    assert server.ttl("product:7") == pytest.approx(24 * 3600, abs=2)
    assert server.ttl("product:8") == pytest.approx(15 * 60, abs=2)


@pytest.mark.parametrize(("status", "seconds"), [(200, 300), (404, 60)])
def test_freshness_ends_with_the_ttl(status: int, seconds: int) -> None:
    now = time.time()
    assert entry(status=status, fetched_at=now - seconds + 1).is_fresh
    assert not entry(status=status, fetched_at=now - seconds).is_fresh


@pytest.mark.parametrize("older", [{"version": 9}, {"version": 10, "fetched_at": NOW - 0.001}], ids=str)
def test_an_older_entry_replaces_nothing_and_the_writer_is_told(older: dict[str, Any]) -> None:
    newer = entry(version=10)
    assert product_cache.put("7", newer)
    assert not product_cache.put("7", entry(**older, body="old"))
    assert product_cache.get("7") == newer


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=st.lists(
        st.builds(
            entry,
            version=st.sampled_from([1, 2, 9, 10, 1_795_000_000_000, 1_795_000_000_001]),
            fetched_at=st.integers(0, 4000).map(lambda milliseconds: NOW + milliseconds / 1000),
            status=st.sampled_from([200, 404]),
            body=st.text(st.characters(codec="utf-8"), max_size=20),
        ),
        min_size=1,
        max_size=8,
        # A version that is fetched at one moment has one content.
        unique_by=lambda put: (put.version, put.fetched_at),
    ),
    data=st.data(),
)
def test_any_order_of_puts_ends_with_the_newest(
    server: redis.Redis, history: list[Entry], data: st.DataObject
) -> None:
    server.flushdb()
    # One that was confirmed later is never older: what the service writes, and no more is promised.
    shuffled = data.draw(st.permutations(history + history[:2]))
    for put in shuffled:
        product_cache.put("7", put)
    assert product_cache.get("7") == max(history, key=lambda put: (put.version, put.fetched_at))


# ── List pages ────────────────────────────────────────────────────────────────────────────────────────────


def place(*, limit: int = 20, category: str | None = None, sort: str | None = None) -> product_cache.Slot:
    found = product_cache.slot_for(limit=limit, cursor=None, category=category, sort=sort)
    assert found is not None
    return found


PAGE = place()


def listed(list_version: int) -> ListState:
    product_cache.keep_list(ListState(list_version, round(time.time(), 3)))
    state = product_cache.list_state()
    assert state
    return state


def test_a_state_has_both_its_halves_or_is_none() -> None:
    assert product_cache.list_state() is None
    product_cache.advance_list_version(7)
    assert product_cache.list_state() is None  # nobody knows how old it is
    product_cache.keep_list(ListState(6, NOW))
    assert product_cache.list_state() == ListState(7, NOW)


def test_what_is_known_of_the_list_only_rises() -> None:
    for version, synced_at in ((7, NOW), (6, NOW + 1), (8, NOW - 1)):
        product_cache.keep_list(ListState(version, synced_at))
    assert product_cache.list_state() == ListState(8, NOW + 1)


def test_a_page_is_found_under_the_list_version_that_it_was_made_for() -> None:
    state = listed(7)
    body = '{"items":[]}'
    page = Entry(200, 0, state.synced_at, body, etag_of(body), "next")
    product_cache.put_page(state, PAGE, page)
    assert product_cache.get_page(state, PAGE) == page
    last = replace(page, next_cursor=None)
    product_cache.put_page(state, PAGE, last)
    assert product_cache.get_page(state, PAGE) == last


def test_a_new_list_version_makes_all_pages_unreachable_and_the_list_no_older() -> None:
    before = listed(7)
    product_cache.put_page(before, PAGE, entry())
    product_cache.advance_list_version(8)
    now = product_cache.list_state()
    assert now == ListState(8, before.synced_at)
    assert product_cache.get_page(now, PAGE) is None
    product_cache.put_page(before, PAGE, entry())  # by a slow reader
    assert product_cache.get_page(now, PAGE) is None


@pytest.mark.parametrize(("held", "late"), [(8, 7), (10, 9)])
def test_a_list_version_that_comes_late_brings_nothing_back(held: int, late: int) -> None:
    product_cache.put_page(listed(late), PAGE, entry())
    listed(held)
    assert listed(late).list_version == held


@dataclass
class Clock:
    now: float

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(environment: pytest.MonkeyPatch) -> Clock:
    found = Clock(NOW)
    environment.setattr(pages, "time", found)
    return found


def visible() -> int:
    state = product_cache.list_state()
    assert state
    return state.list_version


@pytest.mark.parametrize("changes", [1, 10, 50])
def test_readers_see_few_list_versions_however_many_changes_there_are(clock: Clock, changes: int) -> None:
    product_cache.keep_list(ListState(0, NOW))
    version, seen, made_at = 0, set(), {0: NOW}
    for number in range(1_000):  # 20 seconds
        clock.now = NOW + number / 50
        if number % (50 // changes) == 0:
            version += 1
            made_at[version] = clock.now
            product_cache.advance_list_version(version)
        seen.add(visible())
        if visible() < version:
            assert clock.now - made_at[visible() + 1] < pages.INTERVAL
    assert len(seen) <= 2 + 20 / pages.INTERVAL


def test_the_last_change_is_seen_without_another_one(clock: Clock) -> None:
    product_cache.keep_list(ListState(7, NOW))
    product_cache.advance_list_version(8)
    assert visible() == 8  # the first after a quiet time at once
    product_cache.advance_list_version(9)
    product_cache.keep_list(ListState(10, NOW))
    assert visible() == 8
    clock.now += pages.INTERVAL
    assert visible() == 10
    product_cache.advance_list_version(11)
    assert visible() == 10  # seen a moment ago
    clock.now += pages.INTERVAL
    assert visible() == 11


def test_a_writers_clock_that_is_ahead_keeps_no_version_from_readers(clock: Clock) -> None:
    product_cache.keep_list(ListState(7, NOW))
    clock.now += 3_600
    product_cache.advance_list_version(8)
    product_cache.advance_list_version(9)
    clock.now = NOW
    assert visible() == 9
    product_cache.advance_list_version(10)
    assert visible() == 10


def test_losing_the_lists_state_brings_no_old_page_back(server: redis.Redis) -> None:
    for list_version in (7, 8, 9):
        state = listed(list_version)
        assert product_cache.get_page(state, PAGE) is None
        product_cache.put_page(state, PAGE, entry())
        server.delete("products")
        assert product_cache.list_state() is None


def test_different_pages_have_different_names_and_those_behind_a_cursor_none() -> None:
    places = [
        place(limit=limit, category=category, sort=sort)
        for limit, category, sort in itertools.product(
            (1, 11), (None, "", "a", "b"), (None, "price", "-price", "title")
        )
    ]
    assert len({each.name for each in places}) == len(places)
    assert product_cache.slot_for(limit=20, cursor="a", category=None, sort=None) is None


def test_of_two_pages_in_one_place_the_last_is_kept() -> None:
    state = listed(7)
    one, other = replace(PAGE, name="one"), replace(PAGE, name="other")
    product_cache.put_page(state, one, entry(body="1"))
    product_cache.put_page(state, other, entry(body="2"))
    assert product_cache.get_page(state, one) is None
    kept = product_cache.get_page(state, other)
    assert kept
    assert kept.body == "2"


def test_however_many_pages_are_made_they_have_few_slots(
    server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "CATEGORY_SLOTS", 16)
    for list_version in (7, 8):
        state = listed(list_version)
        for number in range(100):
            product_cache.put_page(state, place(category=f"category {number}"), entry())
    assert server.dbsize() <= 16 + 1


def test_however_many_ids_are_unknown_they_have_few_places(server: redis.Redis) -> None:
    for number in range(3_000):
        product_cache.put(str(number), MissingEntry.since(NOW))
    assert server.dbsize() <= product_cache.NEGATIVE_SLOTS
    assert product_cache.find("2999") == MissingEntry.since(NOW)
    assert server.ttl(entries._missing_key("2999")) > 0


# ── What is not of this version's making ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("foreign", [b"x", b"x 7", b"\xff", b"", b"200 x 1.2.3 y\n{}", b"a b c d\nbody"])
def test_what_another_release_wrote_is_as_good_as_nothing_and_is_replaced(
    server: redis.Redis, foreign: bytes
) -> None:
    for key in ("product:7", entries._missing_key("7"), PAGE.key):
        server.set(key, foreign)
    state = ListState(7, NOW)
    assert product_cache.get("7") is None
    assert product_cache.find("7") is None
    assert product_cache.get_page(state, PAGE) is None
    put = entry()
    assert product_cache.put("7", put)
    assert product_cache.get("7") == put
    product_cache.put("8", MissingEntry.since(NOW))
    assert product_cache.find("8") == MissingEntry.since(NOW)


@pytest.mark.parametrize("field", ["next_version", "next_at", "synced_at"])
def test_a_list_state_that_another_release_wrote_is_none(server: redis.Redis, field: str) -> None:
    listed(7)
    server.hset("products", field, "x")
    assert product_cache.list_state() is None
    assert product_cache.list_page(PAGE) == (None, None)
    assert listed(8).list_version == 8


# ── Leases ────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_one_gets_the_lease_until_it_is_released() -> None:
    lease = product_cache.acquire_lease("x", 5)
    assert isinstance(lease, Lease)
    assert product_cache.acquire_lease("x", 5) == LeaseHeld(failed=False)
    assert isinstance(product_cache.acquire_lease("y", 5), Lease)
    assert product_cache.is_leased("x")
    lease.release()
    assert not product_cache.is_leased("x")
    assert isinstance(product_cache.acquire_lease("x", 5), Lease)


@pytest.mark.usefixtures("connection_per_thread")
def test_of_many_at_once_only_one_gets_the_lease() -> None:
    outcomes = concurrency.at_once([lambda: product_cache.acquire_lease("x", 5)] * 16)
    assert sum(isinstance(outcome, Lease) for outcome in outcomes) == 1


def test_a_lease_ends_by_itself() -> None:
    product_cache.acquire_lease("x", 0.1)
    time.sleep(0.12)
    assert isinstance(product_cache.acquire_lease("x", 5), Lease)


@pytest.mark.parametrize("backoff", [0, product_cache.BACKOFF])
def test_who_lost_the_lease_does_not_end_that_of_the_next(backoff: int) -> None:
    late = product_cache.acquire_lease("x", 0.05)
    assert isinstance(late, Lease)
    time.sleep(0.07)
    assert isinstance(product_cache.acquire_lease("x", 5), Lease)
    late.release(backoff)
    assert product_cache.acquire_lease("x", 5) == LeaseHeld(failed=False)


def test_a_failed_refresh_keeps_everybody_away_for_two_seconds(server: redis.Redis) -> None:
    lease = product_cache.acquire_lease("x", 5)
    assert isinstance(lease, Lease)
    lease.release(product_cache.BACKOFF)
    assert product_cache.acquire_lease("x", 5) == LeaseHeld(failed=True)
    assert 1_500 < int(server.pttl("lease:x")) <= 2_000


def test_a_lease_whose_first_answer_was_lost_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = cache.pipeline

    def twice(*commands: Sequence[str]) -> list[Any]:
        ask(*commands)
        return ask(*commands)

    monkeypatch.setattr(cache, "pipeline", twice)
    lease = product_cache.acquire_lease("x", 5)
    assert isinstance(lease, Lease)
    monkeypatch.setattr(cache, "pipeline", ask)
    assert product_cache.acquire_lease("x", 5) == LeaseHeld(failed=False)
    lease.release()
    assert isinstance(product_cache.acquire_lease("x", 5), Lease)


def test_trying_for_a_lease_does_not_prolong_it(server: redis.Redis) -> None:
    product_cache.acquire_lease("x", 5)
    server.pexpire("lease:x", 1_000)
    product_cache.acquire_lease("x", 5)
    assert int(server.pttl("lease:x")) <= 1_000


def test_many_or_large_entries_are_kept_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    round_trips: list[int] = []
    ask = cache.pipeline

    def counted(*commands: Sequence[str]) -> list[Any]:
        round_trips.append(len(commands))
        return ask(*commands)

    monkeypatch.setattr(cache, "pipeline", counted)
    for body, expected in (("small", 1), ("x" * 50_000, 42)):
        round_trips.clear()
        product_cache.put_all({f"{body[:1]}{number}": replace(entry(), body=body) for number in range(250)})
        assert len(round_trips) == expected
        assert all(product_cache.get_all([f"{body[:1]}{number}" for number in range(250)]))
