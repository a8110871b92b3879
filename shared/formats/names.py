"""Names that people give: of themselves, of a list."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from pydantic import Field

# Line breaks and ESC, which a mail or a console would obey, and the marks that turn the direction of a text.
CONTROLS = "\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"
_HAS_CONTROLS = re.compile(f"[{CONTROLS}]")
# Letters and signs that show nothing: the Hangul fillers and the empty pattern of Braille.
_BLANK = "\u115f\u1160\u3164\uffa0\u2800"


def checked_name(name: str) -> str:
    """The name, if it can be shown as it is. Raises ValueError.

    Every script stays, and emoji with their joiners; a name of invisible characters alone is refused.
    """
    if _HAS_CONTROLS.search(name):
        raise ValueError("may not contain control characters")
    if not any(unicodedata.category(char)[0] in "LNPS" and char not in _BLANK for char in name):
        raise ValueError("has no visible character")
    return name


def name_field(longest: int, example: str) -> Any:
    """The description of a field of `checked_name`, of up to so many characters."""
    return Field(
        description=f"1 to {longest} characters after trimming, one of them visible and none a control "
        "character.",
        examples=[example],
        json_schema_extra={"pattern": f"^[^{CONTROLS}]*$"},
    )
