"""The external catalog: what its answers mean, how it is called, and how its whole list is read."""

from shared.products.catalog.availability import FAILURES_TO_OPEN as FAILURES_TO_OPEN
from shared.products.catalog.availability import OPEN_SECONDS as OPEN_SECONDS
from shared.products.catalog.availability import AnswerTooLong as AnswerTooLong
from shared.products.catalog.availability import BreakerOpen as BreakerOpen
from shared.products.catalog.client import PRODUCT_BYTES as PRODUCT_BYTES
from shared.products.catalog.client import UnusableProduct as UnusableProduct
from shared.products.catalog.client import fetch_product as fetch_product
from shared.products.catalog.client import now_version as now_version
from shared.products.catalog.http_client import TIMEOUT as TIMEOUT
from shared.products.catalog.http_client import reset as reset
from shared.products.catalog.models import CatalogProduct as CatalogProduct
from shared.products.catalog.whole_list import CatalogList as CatalogList
from shared.products.catalog.whole_list import fetch_all as fetch_all
