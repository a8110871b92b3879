"""Failed log-ins, counted per account in Valkey: the fifth in a row, and all that follow, have to wait.

Every attempt is counted as failed before its password is even looked at, in one step on the server, so that
many at once get no more tries than one after the other. A log-in that succeeds clears the count.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress

from shared.errors import TooManyAttempts
from shared.formats.emails import email_key
from shared.platform import logs, valkey
from shared.platform.valkey import CacheDown

FREE_FAILURES = 4  # the next one is answered 429
LONGEST_WAIT = 15 * 60  # seconds; it begins with 1 and doubles
FORGOTTEN_AFTER = 24 * 60 * 60  # seconds without an attempt

# Returns the seconds to wait if this attempt fails, or -1 - seconds if it is not heard at all.
_ATTEMPT = """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1e6
local state = redis.call('HMGET', KEYS[1], 'failures', 'not_before')
local left = (tonumber(state[2]) or 0) - now
if left > 0 then return -1 - math.ceil(left) end
local failures = (tonumber(state[1]) or 0) + 1
local wait = 0
if failures > tonumber(ARGV[1]) then
  wait = math.min(2 ^ math.min(failures - ARGV[1] - 1, 20), tonumber(ARGV[2]))
end
local not_before = wait > 0 and string.format('%.3f', now + wait) or 0
redis.call('HSET', KEYS[1], 'failures', failures, 'not_before', not_before)
redis.call('EXPIRE', KEYS[1], ARGV[3])
return wait
"""


_TAKE_BACK = """
if redis.call('EXISTS', KEYS[1]) == 0 then return end
redis.call('HINCRBY', KEYS[1], 'failures', -1)
redis.call('HDEL', KEYS[1], 'not_before')
"""


def begin(email: str) -> int:
    """Count an attempt for the account; the seconds that the next one has to wait if this one fails.

    Raises TooManyAttempts where the account has to wait already. While Valkey is down nothing is counted:
    log-ins go on, slowed by the cost of the password hash alone.
    """
    try:
        arguments = (FREE_FAILURES, LONGEST_WAIT, FORGOTTEN_AFTER)
        wait = int(valkey.command(lambda server: server.eval(_ATTEMPT, 1, _key(email), *arguments)))
    except CacheDown:
        logs.logger().warning("log-in attempts are not counted while the cache is down")
        return 0
    if wait < 0:
        raise too_many(-1 - wait)
    return wait


def succeed(email: str) -> None:
    """Clear the account's count."""
    with suppress(CacheDown):
        valkey.command(lambda server: server.delete(_key(email)))


def take_back(email: str) -> None:
    """Uncount the attempt that was begun last: it was neither right nor wrong."""
    with suppress(CacheDown):
        valkey.command(lambda server: server.eval(_TAKE_BACK, 1, _key(email)))


def too_many(seconds: int) -> TooManyAttempts:
    """The refusal that says how long to wait."""
    return TooManyAttempts("Too many failed attempts for this account.", retry_after=seconds)


def _key(email: str) -> str:
    # A hash: what is typed into a log-in form has no business in a cache's key list.
    return "login:" + hashlib.sha256(email_key(email).encode(errors="surrogatepass")).hexdigest()
