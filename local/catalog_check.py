"""`python -m local catalog check`: read the configured catalog once, and show the result."""

import io
import json
import os
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from decimal import Decimal
from typing import Any

from local.servers.services import ServiceFailed
from shared.errors import CatalogUnavailable
from shared.platform.settings import MissingSetting
from shared.products.catalog import client, mapping, whole_list
from shared.products.catalog.whole_list import CatalogList

LIST_BYTES = 256 * 1024 * 1024
LIST_SECONDS = 600.0
STALL = 10.0  # seconds
SHOWN = 10  # refused products


def check(show: Callable[[str], None]) -> None:
    """Show the first product before and after the mapping, the numbers, and refused products with reasons.

    Raises ServiceFailed where the catalog cannot be used as it is configured.
    """
    if not os.environ.get("CATALOG_URL"):
        raise ServiceFailed("Name the catalog: CATALOG_URL=https://… python -m local catalog check")
    try:
        contract = mapping.current()
        show(f"Reading {contract.list_url().partition('?')[0]} …")
        with closing(CatalogList(client.now_version())) as listed:
            try:
                with redirect_stdout(io.StringIO()):  # without log lines and metrics
                    whole_list.read_into(listed, at_most=LIST_BYTES, timeout=LIST_SECONDS, stall=STALL)
            except CatalogUnavailable as error:
                _show_first(contract, listed, show)
                _show_refused(listed, show)
                raise ServiceFailed(f"The catalog cannot be used: {error}.") from error
            _show_first(contract, listed, show)
            _show_refused(listed, show)
            _show_numbers(listed, show)
    except MissingSetting as error:
        raise ServiceFailed(f"{error}.") from error


def _show_first(contract: mapping.Contract, listed: CatalogList, show: Callable[[str], None]) -> None:
    if listed.first_item is None:
        return
    show(f"The first product as the catalog sends it:\n{_text(listed.first_item)}")
    if not contract.is_plain:
        show(f"and after the mapping:\n{_text(contract.mapped(listed.first_item))}")


def _show_refused(listed: CatalogList, show: Callable[[str], None]) -> None:
    for product_id, reason in list(listed.refused.items())[:SHOWN]:
        show(f"refused {product_id}: {reason}")
    if len(listed.refused) > SHOWN:
        show(f"and {len(listed.refused) - SHOWN} more")


def _show_numbers(listed: CatalogList, show: Callable[[str], None]) -> None:
    pages = f" on {listed.pages} pages" if listed.pages > 1 else ""
    show(f"{listed.items} products{pages}; {len(listed.ids)} can be used, {listed.bad} are refused.")
    if listed.incomplete:
        show(f"It removes no product, because {listed.incomplete}.")


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=_number)[:2_000]


def _number(value: Any) -> float | str:
    return float(value) if isinstance(value, Decimal) else str(value)
