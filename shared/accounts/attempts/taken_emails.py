"""How often one source IP may learn that an e-mail is taken: a registration that answers 409 tells it.

Only such answers count: a registration that succeeds uses up nothing. What is kept is one key in Valkey, the
time at which the address has its whole allowance again (GCRA). The key expires then. While Valkey is down,
API Gateway's limit for the route is the only bound.
"""

from __future__ import annotations

import math
from contextlib import suppress

from shared.accounts.attempts.networks import network_of
from shared.errors import TooManyAttempts
from shared.platform import valkey
from shared.platform.valkey import CacheDown

ALLOWED = 100  # answers at once, and after that one a second

# Returns the seconds until the next one is allowed; with ARGV[2] of 1 this one counts.
_ASK = """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1e6
local whole_again = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + tonumber(ARGV[2])
if ARGV[2] == '1' then
  redis.call('SET', KEYS[1], string.format('%.6f', whole_again), 'EX', math.ceil(whole_again - now))
end
return tostring(math.max(0, whole_again - now - tonumber(ARGV[1])))
"""


def check(source_ip: str) -> None:
    """Raises TooManyAttempts where the address has learned too much already."""
    with suppress(CacheDown):
        wait = _wait(source_ip, 0)
        if wait > 0:
            raise TooManyAttempts("Too many e-mails that are taken.", retry_after=math.ceil(wait))


def count(source_ip: str) -> None:
    """Count that the address was told of an e-mail that is taken."""
    with suppress(CacheDown):
        _wait(source_ip, 1)


def _wait(source_ip: str, cost: int) -> float:
    """The seconds until the address may learn of another."""
    key = f"taken:{network_of(source_ip)}"
    # As for guesses at a password: what is not counted is a gift.
    (answer,) = valkey.ask(valkey.script(_ASK, key, ALLOWED - 1, cost), seconds=valkey.PATIENCE)
    return float(answer)
