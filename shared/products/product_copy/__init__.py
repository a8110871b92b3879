"""This service's durable copy of the catalog: the table `products`.

The newer version wins, wherever it came from. Every write carries a version (milliseconds since the epoch)
and does nothing to a row whose version is not lower. A product that is gone stays as a tombstone
(`removed_at`), for the favorites that point at it and so that an older change cannot bring it back. What a
change means for those who hold the product as a favorite goes into the outbox in the same statement.

The list has the last word on what there is: a product that two whole lists in a row do not have is removed,
an answer to a request never removes what a list shows, and does not bring back what the lists dropped
(`products_missed`).
"""

from shared.products.product_copy.list_sync import Listing as Listing
from shared.products.product_copy.list_sync import ShrunkCatalog as ShrunkCatalog
from shared.products.product_copy.list_sync import listing as listing
from shared.products.product_copy.list_sync import note_schedule as note_schedule
from shared.products.product_copy.list_sync import note_sync as note_sync
from shared.products.product_copy.list_sync import sync as sync
from shared.products.product_copy.pages import ORDERS as ORDERS
from shared.products.product_copy.pages import largest_categories as largest_categories
from shared.products.product_copy.pages import page as page
from shared.products.product_copy.pages import sort_text as sort_text
from shared.products.product_copy.pages import sort_value as sort_value
from shared.products.product_copy.rows import CopiedProduct as CopiedProduct
from shared.products.product_copy.rows import find as find
from shared.products.product_copy.rows import find_all as find_all
from shared.products.product_copy.rows import shown as shown
from shared.products.product_copy.writes import Source as Source
from shared.products.product_copy.writes import mark_removed as mark_removed
from shared.products.product_copy.writes import save as save
from shared.products.product_copy.writes import save_all as save_all
