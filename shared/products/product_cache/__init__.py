"""Products in Valkey: ready response bodies with their ETag and times, and leases on refreshing them.

Only commands on a single key, so that it works on a cluster. A hit is one GET; nothing of it is parsed but
the one line in front of the body. This module loads on every product request: it imports nothing heavy.

    product:{id}                   the entry of a product that the copy has
    unknown:{place}                one of the ids that nobody has; there are NEGATIVE_SLOTS
    products                       a hash: versions and times of the list (see pages.ListState)
    products:{sort}:{limit}        the first page in that order, of up to `limit` products
    products:category:{place}      the first page of a category; there are CATEGORY_SLOTS
    lease:{name}                   who refreshes `name` just now

However many pages and ids are asked for, there are never more keys than products, these slots, and the
leases of the calls that are under way or failed a moment ago.
"""

from shared.products.product_cache.entries import HARD_TTL as HARD_TTL
from shared.products.product_cache.entries import NEGATIVE_SLOTS as NEGATIVE_SLOTS
from shared.products.product_cache.entries import NEGATIVE_TTL as NEGATIVE_TTL
from shared.products.product_cache.entries import REMOVED_TTL as REMOVED_TTL
from shared.products.product_cache.entries import Answer as Answer
from shared.products.product_cache.entries import CacheState as CacheState
from shared.products.product_cache.entries import CombinedEntry as CombinedEntry
from shared.products.product_cache.entries import Entry as Entry
from shared.products.product_cache.entries import MissingEntry as MissingEntry
from shared.products.product_cache.entries import find as find
from shared.products.product_cache.entries import find_all as find_all
from shared.products.product_cache.entries import get as get
from shared.products.product_cache.entries import get_all as get_all
from shared.products.product_cache.entries import join as join
from shared.products.product_cache.entries import put as put
from shared.products.product_cache.entries import put_all as put_all
from shared.products.product_cache.leases import BACKOFF as BACKOFF
from shared.products.product_cache.leases import Lease as Lease
from shared.products.product_cache.leases import LeaseHeld as LeaseHeld
from shared.products.product_cache.leases import acquire_lease as acquire_lease
from shared.products.product_cache.leases import is_leased as is_leased
from shared.products.product_cache.leases import lease_products as lease_products
from shared.products.product_cache.pages import CATEGORY_SLOTS as CATEGORY_SLOTS
from shared.products.product_cache.pages import ListState as ListState
from shared.products.product_cache.pages import Slot as Slot
from shared.products.product_cache.pages import advance_command as advance_command
from shared.products.product_cache.pages import advance_list_version as advance_list_version
from shared.products.product_cache.pages import are_current as are_current
from shared.products.product_cache.pages import get_page as get_page
from shared.products.product_cache.pages import keep_list as keep_list
from shared.products.product_cache.pages import list_page as list_page
from shared.products.product_cache.pages import list_state as list_state
from shared.products.product_cache.pages import note_refused as note_refused
from shared.products.product_cache.pages import put_page as put_page
from shared.products.product_cache.pages import refused_at as refused_at
from shared.products.product_cache.pages import slot_for as slot_for
