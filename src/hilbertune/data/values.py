"""One label in one of Python's own types, whatever library or file format it comes from.

In: a scalar of Python, NumPy, pandas, Arrow or torch.
Out: a bool, int, float or str, None if it is missing; and the text by which labels of different sources are the same.
"""

import datetime
import numbers
import re
from typing import Any

Plain = bool | int | float | str

_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")


def plain(value: Any) -> Plain | None:
    """Return a label in one of Python's own types; None if it is missing (None, NaN, NA, NaT, masked).

    Raises:
        TypeError: it is of another type, such as a date or bytes.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return value
    if is_missing(value):
        return None
    if _is_time(value):
        raise TypeError("a time is no label")
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()  # of NumPy or torch
        return None if value is None else plain(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, float) or hasattr(value, "__float__"):
        number = float(value)
        # Decimals and fractions may be whole numbers beyond what a float can tell apart.
        return int(value) if not isinstance(value, float) and value == int(value) else number
    raise TypeError(f"{type(value).__name__} is no type of a label")


def is_missing(value: Any) -> bool:
    """Return True for None, NaN, NA, NaT and what is masked."""
    if value is None or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant"):
        return True
    if getattr(value, "ndim", 0) or not hasattr(value, "__float__"):
        return False
    return bool(value != value)


def from_file(value: Any) -> Plain | None:
    """Return a label as `plain` does, and dates and bytes as the text that stands for them in a CSV file.

    Raises:
        TypeError: it is of another type, such as a list.
        ValueError: bytes that are not UTF-8.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode()
    if type(value).__name__ != "NaTType" and _is_time(value):
        return str(value).removesuffix(" 00:00:00")
    return plain(value)


def text_of(label: Plain) -> str:
    """Return the text by which a label of one source is the same as one of another: 1, 1.0, "1" and " 1 " are.

    "01" is another, lest two classes become one.
    """
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    text = str(label).strip()
    if text.casefold() in ("true", "false"):
        return text.casefold()
    return whole[1] if (whole := _WHOLE.fullmatch(text)) else text


def _is_time(value: Any) -> bool:
    kinds = (datetime.date, datetime.time, datetime.timedelta)
    return isinstance(value, kinds) or getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M")
