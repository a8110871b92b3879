"""The first poll of the catalog, right after the first deploy: before the first reader, schedule or not."""

from __future__ import annotations

from shared.platform import logs

LONGEST_REASON = 300  # characters: it is shown in one line, as the stack's output Products


def fill_copy() -> str:
    """Read the catalog if that was never done; what there is now, or why there is nothing.

    A deploy does not fail for it: the service answers without products, and the next poll may do better.
    """
    from shared.products import poll, product_copy  # what migrating needs none of

    try:
        if product_copy.listing().synced_at is not None:
            return "there"
        done = poll.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, who deploys is told
        logs.logger().warning("first poll failed", exc_info=error)
        reason = str(error).partition("\n")[0]
        return f"none yet: {type(error).__name__}: {reason}"[:LONGEST_REASON]
    return "another poll is under way" if done.get("skipped") else f"{done['products']} read from the catalog"
