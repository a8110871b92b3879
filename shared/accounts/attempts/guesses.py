"""Guesses at a password, slowed where they come from, and a little for the account as a whole.

All that is known of one account is one hash in Valkey: one step on the server decides, one DEL forgets.

- Each source address has a count of its own. After its fifth failure, and each that follows, it has to wait,
  from a second up to 15 minutes.
- Against guessing from many addresses, the account as a whole hears `ACCOUNT_FREE` failures a day. After
  that, addresses take turns. One that is not heard at once has its turn kept for it, and is told when that
  is, at most `LONGEST_QUEUE` seconds ahead. Meanwhile a failure makes its address wait from 16 seconds up,
  and addresses that have failed may take turns in the nearer half of the queue only. The other half is for
  addresses that have not failed: they get a turn, unless others that have not failed were quicker.
- An address from which the owner has logged in needs no turn, and waits as if nobody else guessed.

So those who guess from up to `MOST_ADDRESSES` addresses soon have only addresses that failed, and the owner
gets in from anywhere. Those who have more, or new ones all the time (a request every 5 seconds is enough, at
the longest turn), can take every turn before an owner at a new address does. They never keep out an owner at
a known one.

Every attempt is counted as failed before its password is even looked at, so that many at once get no more
tries than one after the other. A log-in that succeeds clears its address's count.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.accounts.attempts.networks import network_of
from shared.errors import TooManyAttempts
from shared.formats.emails import email_key
from shared.platform import logs, valkey
from shared.platform.valkey import CacheDown

FREE_FAILURES = 4  # of an address; the next one is answered 429
LONGEST_WAIT = 15 * 60  # seconds; it begins with 1 and doubles
FORGOTTEN_AFTER = 24 * 60 * 60  # seconds without an attempt of the address, and for the account's count

ACCOUNT_FREE = 20  # failures a day, from whatever addresses, before they take turns
SHORTEST_TURN, LONGEST_TURN = 0.25, 5  # seconds; it grows with the failures, to the longest at 1,000 of them
LONGEST_QUEUE = 30  # seconds; who would wait longer gets no turn, and may ask again after so long

KNOWN_FOR = 30 * 24 * 60 * 60  # seconds since the last log-in from there
MOST_KNOWN = 8  # addresses; the one that was used longest ago is forgotten
MOST_ADDRESSES = 200  # that are counted one by one; the one that could come back first is forgotten

# An account that somebody tried once, perhaps one that nobody has, is forgotten sooner. Whoever waits so long
# each time has `ACCOUNT_FREE` failures a day too.
SOON_FORGOTTEN_AFTER = FORGOTTEN_AFTER // ACCOUNT_FREE  # seconds after a first failure


@dataclass(frozen=True, slots=True)
class Counter:
    """What is counted: the guesses at one account's password from one address."""

    key: str
    address: str


def of_log_in(email: str, source_ip: str) -> Counter:
    """The guesses at the log-in of the account with that e-mail, whether or not there is one."""
    return Counter(_log_in_key(email), network_of(source_ip))


def of_current_password(client_id: UUID, source_ip: str) -> Counter:
    """The guesses of who has an access token; they do not count at the log-in, nor those here."""
    return Counter(_current_password_key(client_id), network_of(source_ip))


# Fields: `all` is the account's failures, since when they are counted, and the last turn that was given;
# `at:…` an address's failures, not-before, whether that is a turn, and last attempt; `known:…` a log-in.
# Returns the seconds to wait if this attempt fails (-1 - seconds if it is not heard at all), and 1 for an
# address that is known.
_ATTEMPT = """
local key, at, known = KEYS[1], 'at:' .. ARGV[1], 'known:' .. ARGV[1]
local free, longest_wait, forgotten = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local account_free, shortest, longest = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local longest_queue, most_addresses = tonumber(ARGV[8]), tonumber(ARGV[9])
local soon_forgotten, known_for = tonumber(ARGV[10]), tonumber(ARGV[11])
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1e6

local function numbers(text, ...)
  if not text then return ... end
  local found = {}
  for number in string.gmatch(text, '%S+') do found[#found + 1] = tonumber(number) end
  return unpack(found)
end
local held = redis.call('HMGET', key, 'all', at, known)
local total, since, last_turn = numbers(held[1], 0, now, 0)
local failures, not_before, is_turn, tried = numbers(held[2], 0, 0, 0, now)
local is_known = now - numbers(held[3], 0) < known_for
if now - since >= forgotten then total, since = 0, now end
if now - tried >= forgotten then failures = 0 end

local function keep(seconds)
  if not held[2] and redis.call('HLEN', key) > most_addresses then
    local first, first_field
    local all = redis.call('HGETALL', key)
    for i = 1, #all, 2 do
      if string.sub(all[i], 1, 3) == 'at:' then
        local _, until_then = numbers(all[i + 1])
        if not first or until_then < first then first, first_field = until_then, all[i] end
      end
    end
    if first_field then redis.call('HDEL', key, first_field) end
  end
  redis.call('HSET', key, 'all', string.format('%d %.6f %.6f', total, since, last_turn),
                          at, string.format('%d %.6f %d %.6f', failures, not_before, is_turn, now))
  if redis.call('TTL', key) < seconds then redis.call('EXPIRE', key, seconds) end
end

if not_before > now then return {-1 - math.ceil(not_before - now), 0} end
local in_turns = not is_known and total >= account_free
if in_turns and is_turn == 0 then
  local turn = math.max(shortest, math.min(longest, total / 200))
  local mine = math.max(last_turn + turn, now)
  local ahead = failures > 0 and longest_queue / 2 or longest_queue
  if mine - now > ahead then return {-1 - longest_queue, 0} end
  last_turn = mine
  if mine > now then
    not_before, is_turn = mine, 1
    keep(forgotten)
    return {-1 - math.ceil(mine - now), 0}
  end
end
failures, total, is_turn = failures + 1, total + 1, 0
local wait = 0
local doublings = in_turns and failures + 3 or failures - free - 1
if doublings >= 0 then wait = math.min(2 ^ math.min(doublings, 20), longest_wait) end
not_before = wait > 0 and now + wait or 0
keep((wait > 0 or total > 1) and forgotten or soon_forgotten)
return {wait, is_known and 1 or 0}
"""

_SUCCEED = """
local key, at, known = KEYS[1], 'at:' .. ARGV[1], 'known:' .. ARGV[1]
local known_for, most_known = tonumber(ARGV[2]), tonumber(ARGV[3])
local now = tonumber(redis.call('TIME')[1])
redis.call('HDEL', key, at)
redis.call('HSET', key, known, now)
local all, count, oldest, oldest_field = redis.call('HGETALL', key), 0, nil, nil
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 6) == 'known:' then
    count = count + 1
    local at_that_time = tonumber(all[i + 1])
    if not oldest or at_that_time < oldest then oldest, oldest_field = at_that_time, all[i] end
  end
end
if count > most_known then redis.call('HDEL', key, oldest_field) end
local total, since, last_turn = string.match(redis.call('HGET', key, 'all') or '', '(%S+) (%S+) (%S+)')
if total and tonumber(total) > 0 then
  redis.call('HSET', key, 'all', string.format('%d %s %s', tonumber(total) - 1, since, last_turn))
end
redis.call('EXPIRE', key, known_for)
"""

_FORGET_KNOWN = """
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 6) == 'known:' then redis.call('HDEL', KEYS[1], field) end
end
"""

_TAKE_BACK = """
local key, at = KEYS[1], 'at:' .. ARGV[1]
local held = redis.call('HMGET', key, 'all', at)
local total, since, last_turn = string.match(held[1] or '', '(%S+) (%S+) (%S+)')
local failures, tried = string.match(held[2] or '', '(%S+) %S+ %S+ (%S+)')
if not total or not failures then return end
total, failures = math.max(0, tonumber(total) - 1), math.max(0, tonumber(failures) - 1)
if total == 0 and redis.call('HLEN', key) == 2 then
  redis.call('DEL', key)
else
  redis.call('HSET', key, 'all', string.format('%d %s %s', total, since, last_turn),
                          at, string.format('%d 0 1 %s', failures, tried))
end
"""


def begin(counter: Counter) -> tuple[int, bool]:
    """Count an attempt; the seconds that the address's next one has to wait if this one fails.

    And whether the address is known: the owner has logged in from there.

    Raises TooManyAttempts where it has to wait already. While Valkey is down nothing is counted: log-ins go
    on, slowed by the cost of the password hash alone, and the log says so.
    """
    try:
        wait, is_known = _run(
            _ATTEMPT,
            counter,
            *(FREE_FAILURES, LONGEST_WAIT, FORGOTTEN_AFTER),
            *(ACCOUNT_FREE, SHORTEST_TURN, LONGEST_TURN, LONGEST_QUEUE, MOST_ADDRESSES),
            *(SOON_FORGOTTEN_AFTER, KNOWN_FOR),
        )
    except CacheDown:
        logs.logger().warning(
            "log-in attempts are not counted while the cache is down: only the cost of the hash slows guesses"
        )
        return 0, False
    if wait < 0:
        raise too_many(-1 - wait)
    return wait, bool(is_known)


def succeed(counter: Counter) -> None:
    """Clear the address's count, and remember the address as one of the owner's."""
    with suppress(CacheDown):
        _run(_SUCCEED, counter, KNOWN_FOR, MOST_KNOWN)


def take_back(counter: Counter) -> None:
    """Uncount the attempt that was begun last, and its wait: it was neither right nor wrong."""
    with suppress(CacheDown):
        _run(_TAKE_BACK, counter)


def forget(email: str | None, client_id: UUID) -> None:
    """Keep nothing of the account: it was removed, or has another e-mail. Without Valkey it expires.

    Without an `email` that is what is kept of its current password.
    """
    for key in (*([_log_in_key(email)] if email else []), _current_password_key(client_id)):
        with suppress(CacheDown):
            valkey.pipeline(("DEL", key))


def forget_known(email: str, client_id: UUID) -> None:
    """Take no address for one of the owner's any more. Without Valkey they stay until they expire."""
    for key in (_log_in_key(email), _current_password_key(client_id)):
        with suppress(CacheDown):
            valkey.pipeline(valkey.script(_FORGET_KNOWN, key))


def too_many(seconds: int) -> TooManyAttempts:
    """The refusal that says how long to wait."""
    return TooManyAttempts("Too many failed attempts.", retry_after=seconds)


def _run(script: str, counter: Counter, *arguments: float) -> Any:
    """What the script answers of the counter."""
    # A hash takes as long, and a guess that is not counted because a new environment connects is a gift.
    asked = valkey.script(script, counter.key, counter.address, *arguments)
    (answer,) = valkey.pipeline(asked, seconds=valkey.SLOW_TIMEOUT)
    return answer


# What is typed into a log-in form, and where from, has no business in a cache: hashes have.


def _log_in_key(email: str) -> str:
    return "login:" + hashlib.sha256(email_key(email).encode(errors="surrogatepass")).hexdigest()


def _current_password_key(client_id: UUID) -> str:
    return f"password:{client_id}"
