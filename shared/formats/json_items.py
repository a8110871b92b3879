"""Streaming of a JSON array, item by item: a list of 100,000 products is never in memory as a whole."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import IO, Any, NoReturn

_READ = 64 * 1024  # bytes
_WHITE_SPACE = " \t\r\n"
_FOLLOWING = (*_WHITE_SPACE, ",", "]")
_LONGEST_ITEM = 1024 * 1024  # characters
_LONGEST_NUMBER = 1_000  # characters; no real value is longer
# Strings, and the brackets outside of them: they show the end of a value that cannot be decoded.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|"|[\[\]{}]', re.DOTALL)

_DEPTH = {"[": 1, "{": 1, "]": -1, "}": -1}

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Unusable:
    """A value that is valid JSON but unusable: a huge number, or excessive nesting."""


UNUSABLE = Unusable()


class NotJson(ValueError):
    """The text is not JSON, not an array, or incomplete."""


def loads(text: bytes) -> Any:
    """The value of a whole JSON text, its decimals exact (RFC 8259). Raises NotJson."""
    try:
        return _DECODER.decode(text.decode())
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise NotJson(str(error)) from error


def iterate(file: IO[bytes]) -> Iterator[Any]:
    """The array's items, their decimals exact, from a file of UTF-8, with or without a byte order mark.

    An item that is nested too deeply is UNUSABLE. Raises NotJson.
    """
    # The standard decoder parses item by item. Not ijson: the memory of its C parser grows with the square of
    # the nesting; 100,000 brackets (100 kB) exhausted 24 GB.
    text = _Window(file)
    if text.skip(0) != "[":
        raise NotJson("it is not an array")
    if text.skip(1) != "]":
        while True:
            item, length = text.item()
            yield item
            following = text.skip(length)
            if following == "]":
                break
            if following != ",":
                raise NotJson("an item is followed by neither comma nor bracket")
            text.skip(1)
    if text.skip(1):
        raise NotJson("something follows the array")


class _Window:
    """The part of the file's text that is being parsed; it begins at the current position."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._text = ""
        self._ended = False

    def skip(self, count: int) -> str:
        """Drop so many characters and the white space behind; return the next character, "" at the end."""
        self._text = self._text[count:].lstrip(_WHITE_SPACE)
        while not self._text and self._more():
            self._text = self._text.lstrip(_WHITE_SPACE)
        return self._text[:1]

    def item(self) -> tuple[Any, int]:
        """The value that begins here, and how many characters it takes."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text)
            except RecursionError:
                value, end = UNUSABLE, self._end_of_value()
            except ValueError as error:  # or the text of the item is still incomplete
                if len(self._text) > _LONGEST_ITEM or not self._more():
                    raise NotJson(str(error)) from error
                continue
            # 12 may be the beginning of 123 or 12.5: a value is complete once a delimiter follows.
            if self._text[end : end + 1] in _FOLLOWING or not self._more():
                return value, end

    def _end_of_value(self) -> int:
        """How many characters the array or object takes that begins here. Raises NotJson."""
        depth = position = 0
        while True:
            for token in _TOKEN.finditer(self._text, position):
                text = token[0]
                if text == '"':  # of an incomplete string
                    break
                position = token.end()
                depth += _DEPTH.get(text, 0)
                if depth == 0:
                    return position
            if len(self._text) > _LONGEST_ITEM or not self._more():
                raise NotJson("an item does not end")

    def _more(self) -> bool:
        if self._ended:
            return False
        read = self._file.read(_READ)
        self._ended = not read
        try:
            self._text += self._decode(read, self._ended)
        except ValueError as error:
            raise NotJson(str(error)) from error
        return not self._ended


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _decimal(text: str) -> Decimal | Unusable:
    try:
        return Decimal(text) if len(text) <= _LONGEST_NUMBER else UNUSABLE
    except ArithmeticError:  # the exponent is too large
        return UNUSABLE


def _integer(text: str) -> int | Unusable:
    return int(text) if len(text) <= _LONGEST_NUMBER else UNUSABLE


_DECODER = json.JSONDecoder(parse_float=_decimal, parse_int=_integer, parse_constant=_refuse_constant)
