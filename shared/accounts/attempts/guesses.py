"""Slows guesses at a password: by source address, and a little for the account as a whole.

An account is one hash in Valkey, and each script is one step on the server.

- Each source address has a counter. From its fifth failure on it has to wait, from 1 second doubling to 15
  minutes.
- Against guessing from many addresses, an account has `ACCOUNT_FREE` failures a day. After that, an address
  is admitted in a slot of a queue, which is reserved for it, at most `LONGEST_QUEUE` seconds ahead. A failure
  in a slot makes it wait from 16 seconds up, and addresses that have failed may use the nearer half of the
  queue only. The other half is for those that have not.
- An address from which the owner has logged in needs no slot.

Guessers with up to `MOST_ADDRESSES` addresses soon have only failed ones, so the owner gets in from anywhere.
With more, or ever new ones (a request every 5 seconds is enough), they can take every slot before an owner at
a new address does, but never keep out an owner at a known one.

Every attempt is counted as failed before its password is checked: many at once get no more tries than one
after the other. A log-in that succeeds clears the counter of its address.
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

FREE_FAILURES = 4  # of an address; after the next one it has to wait
LONGEST_WAIT = 15 * 60  # seconds; it begins with 1 and doubles
FORGOTTEN_AFTER = 24 * 60 * 60  # seconds without an attempt of the address; also the account's "day"

ACCOUNT_FREE = 20  # failures a day, from whatever addresses, before slots are needed
SHORTEST_SLOT, LONGEST_SLOT = 0.25, 5  # seconds; grows with the failures, to the longest at 1,000 of them
LONGEST_QUEUE = 30  # seconds; an attempt that finds it full is refused for so long

KNOWN_FOR = 30 * 24 * 60 * 60  # seconds since the last log-in from there
MOST_KNOWN = 8  # addresses; the one that was used longest ago is forgotten
MOST_ADDRESSES = 200  # with a counter of their own; the one whose wait ends first is forgotten

# An account with a single failure, which may not even exist, is forgotten sooner. One failure in each such
# time is not more than `ACCOUNT_FREE` a day.
SOON_FORGOTTEN_AFTER = FORGOTTEN_AFTER // ACCOUNT_FREE  # seconds


@dataclass(frozen=True, slots=True)
class Counter:
    """The key of an account's hash, and the hashed address in it."""

    key: str
    address: str


def of_log_in(email: str, source_ip: str) -> Counter:
    """The guesses at the log-in with that e-mail, whether or not there is such an account."""
    return Counter(_log_in_key(email), network_of(source_ip))


def of_current_password(client_id: UUID, source_ip: str) -> Counter:
    """The guesses of a caller with an access token, counted apart from those at the log-in."""
    return Counter(_current_password_key(client_id), network_of(source_ip))


# Fields of the hash: `all` has the account's failures, the time since which they are counted, and the last
# slot; `at:…` an address's failures, the time until which it has to wait, 1 if that is its slot, and its last
# attempt; `known:…` the time of the last log-in from an address. Times are seconds since the epoch.
_COMMON = """
local key, at, known = KEYS[1], 'at:' .. (ARGV[1] or ''), 'known:' .. (ARGV[1] or '')
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1e6

local function numbers(text, ...)
  if not text then return ... end
  local found = {}
  for number in string.gmatch(text, '%S+') do found[#found + 1] = tonumber(number) end
  return unpack(found)
end

local function store(field, pattern, ...)
  redis.call('HSET', key, field, string.format(pattern, ...))
end

-- Where there are `most` fields with the prefix, delete the one whose n-th number is the lowest.
local function make_room(prefix, most, n)
  if redis.call('HLEN', key) < most then return end
  local all, count, lowest, lowest_field = redis.call('HGETALL', key), 0, nil, nil
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, #prefix) == prefix then
      count = count + 1
      local number = select(n, numbers(all[i + 1]))
      if not lowest or number < lowest then lowest, lowest_field = number, all[i] end
    end
  end
  if count >= most then redis.call('HDEL', key, lowest_field) end
end
"""

# Returns the seconds to wait if this attempt fails (-1 - seconds if it is not admitted), and 1 for a known
# address.
_ATTEMPT = f"""{_COMMON}
local free, longest_wait, forgotten = {FREE_FAILURES}, {LONGEST_WAIT}, {FORGOTTEN_AFTER}
local account_free, shortest, longest = {ACCOUNT_FREE}, {SHORTEST_SLOT}, {LONGEST_SLOT}
local longest_queue, most_addresses = {LONGEST_QUEUE}, tonumber(ARGV[2])
local soon_forgotten, known_for = {SOON_FORGOTTEN_AFTER}, {KNOWN_FOR}

local held = redis.call('HMGET', key, 'all', at, known)
local total, since, last_slot = numbers(held[1], 0, now, 0)
local failures, not_before, has_slot, tried = numbers(held[2], 0, 0, 0, now)
local is_known = now - numbers(held[3], 0) < known_for
if now - since >= forgotten then total, since = 0, now end
if now - tried >= forgotten then failures = 0 end

local function keep(seconds)
  if not held[2] then make_room('at:', most_addresses, 2) end
  store('all', '%d %.6f %.6f', total, since, last_slot)
  store(at, '%d %.6f %d %.6f', failures, not_before, has_slot, now)
  if redis.call('TTL', key) < seconds then redis.call('EXPIRE', key, seconds) end
end

if not_before > now then return {{-1 - math.ceil(not_before - now), 0}} end
local needs_slot = not is_known and total >= account_free
if needs_slot and has_slot == 0 then
  local slot = math.max(last_slot + math.max(shortest, math.min(longest, total / 200)), now)
  local ahead = failures > 0 and longest_queue / 2 or longest_queue
  if slot - now > ahead then return {{-1 - longest_queue, 0}} end
  last_slot = slot
  if slot > now then
    not_before, has_slot = slot, 1
    keep(forgotten)
    return {{-1 - math.ceil(slot - now), 0}}
  end
end
failures, total, has_slot = failures + 1, total + 1, 0
local wait = 0
local doublings = needs_slot and failures + 3 or failures - free - 1
if doublings >= 0 then wait = math.min(2 ^ math.min(doublings, 20), longest_wait) end
not_before = wait > 0 and now + wait or 0
keep((wait > 0 or total > 1) and forgotten or soon_forgotten)
return {{wait, is_known and 1 or 0}}
"""

_SUCCEED = f"""{_COMMON}
redis.call('HDEL', key, at)
if redis.call('HEXISTS', key, known) == 0 then make_room('known:', {MOST_KNOWN}, 1) end
store(known, '%d', now)
local total, since, last_slot = numbers(redis.call('HGET', key, 'all'), 0, 0, 0)
if total > 0 then store('all', '%d %.6f %.6f', total - 1, since, last_slot) end
redis.call('EXPIRE', key, {KNOWN_FOR})
"""

_TAKE_BACK = f"""{_COMMON}
local held = redis.call('HMGET', key, 'all', at)
if not held[1] or not held[2] then return end
local total, since, last_slot = numbers(held[1])
local failures, _, _, tried = numbers(held[2])
if total <= 1 and redis.call('HLEN', key) == 2 then
  redis.call('DEL', key)
else
  store('all', '%d %.6f %.6f', math.max(0, total - 1), since, last_slot)
  store(at, '%d 0 1 %.6f', math.max(0, failures - 1), tried)
end
"""

_FORGET_KNOWN = f"""{_COMMON}
for _, field in ipairs(redis.call('HKEYS', key)) do
  if string.sub(field, 1, #known) == known then redis.call('HDEL', key, field) end
end
"""


def begin(counter: Counter) -> tuple[int, bool]:
    """Count an attempt. Returns the seconds to wait if it fails, and whether the address is known.

    Raises TooManyAttempts where the address has to wait already. While Valkey is down nothing is counted, and
    only the cost of the password hash slows guesses.
    """
    try:
        wait, is_known = _run(_ATTEMPT, counter, MOST_ADDRESSES)
    except CacheDown:
        logs.logger().warning(
            "log-in attempts are not counted while the cache is down: only the cost of the hash slows guesses"
        )
        return 0, False
    if wait < 0:
        raise too_many(-1 - wait)
    return wait, bool(is_known)


def succeed(counter: Counter) -> None:
    """Clear the address's counter, and store the address as known."""
    with suppress(CacheDown):
        _run(_SUCCEED, counter)


def take_back(counter: Counter) -> None:
    """Uncount the last attempt and its wait: the password was not checked."""
    with suppress(CacheDown):
        _run(_TAKE_BACK, counter)


def forget(email: str | None, client_id: UUID) -> None:
    """Delete the account's hashes: it was removed, or has another e-mail. Without Valkey they expire.

    Without an `email` only that of the current password.
    """
    for key in (*([_log_in_key(email)] if email else []), _current_password_key(client_id)):
        with suppress(CacheDown):
            valkey.pipeline(("DEL", key))


def forget_known(email: str, client_id: UUID) -> None:
    """Delete the account's known addresses. Without Valkey they stay until they expire."""
    for key in (_log_in_key(email), _current_password_key(client_id)):
        with suppress(CacheDown):
            valkey.pipeline(valkey.script(_FORGET_KNOWN, key))


def too_many(seconds: int) -> TooManyAttempts:
    """The error with the seconds to wait."""
    return TooManyAttempts("Too many failed attempts.", retry_after=seconds)


def _run(script: str, counter: Counter, *arguments: int) -> Any:
    # The slow timeout: a guess that is not counted because a new environment connects would be free.
    command = valkey.script(script, counter.key, counter.address, *arguments)
    (answer,) = valkey.pipeline(command, seconds=valkey.SLOW_TIMEOUT)
    return answer


# Keys are hashes: what users type, and from where, must not be readable in a cache.


def _log_in_key(email: str) -> str:
    return "login:" + hashlib.sha256(email_key(email).encode(errors="surrogatepass")).hexdigest()


def _current_password_key(client_id: UUID) -> str:
    return f"password:{client_id}"
