"""YAML that anybody may have written, read safely.

In: the text of a file.
Out: its table, or one sentence. No tag makes an object, no anchor more than a file may hold. Needs PyYAML.
"""

import math
import re
from typing import Any

from hilbertune.errors import HilbertuneError, require
from hilbertune.runtime.schema import DEEPEST

MOST_VALUES = 20_000
"""Values of a file, those that anchors repeat counted each time."""


def parse_yaml(text: str, name: str, *, kind: str, needs: str) -> dict[Any, Any]:
    """Return the table that a YAML text holds; whole numbers stay whole, and 5e-3 is a number.

    Args:
        text: the content of the file.
        name: of the file.
        kind: what the file is for, such as "a study".
        needs: what such a file holds, such as "keys such as 'title' and 'arms'".

    Raises:
        HilbertuneError: no YAML, no table, a key that stands twice, a tag of another language, or more values, their
            repetitions counted, than a file may have.
    """
    yaml = require("yaml", "study")

    class Loader(yaml.SafeLoader):  # type: ignore[name-defined,misc]
        """A loader that reads 5e-3 as a number (in YAML 1.1 it is a word), and refuses a key that stands twice."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = [key.value for key, _ in node.value if isinstance(key.value, str) and key.value != "<<"]
            if twice := next((key for key in seen if seen.count(key) > 1), None):
                raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} stands twice", node.start_mark)
            return super().construct_mapping(node, deep)

    number = re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        _refuse_bombs(node, name, kind)
        given = None if node is None else loader.construct_document(node)
    except HilbertuneError:
        raise
    except yaml.YAMLError as error:
        said = " ".join(str(error).split()).replace('in "<unicode string>",', "in")
        raise HilbertuneError(f"{name} is not valid YAML: {said[:300]}.") from error
    except RecursionError as error:
        raise HilbertuneError(f"{name} is nested too deeply for {kind}.") from error
    except (ValueError, TypeError, ArithmeticError) as error:  # numbers and dates that Python cannot hold
        raise HilbertuneError(f"{name} holds a value that cannot be read ({str(error)[:100]}).") from error
    if not isinstance(given, dict):
        raise HilbertuneError(f"{name} does not hold {kind}: it needs {needs}.")
    return given


def _refuse_bombs(root: Any, name: str, kind: str) -> None:
    """Raise HilbertuneError for a document whose anchors repeat more than a file may hold, or itself."""
    sizes: dict[int, float] = {}
    depths: dict[int, int] = {}

    def measure(node: Any) -> tuple[float, int]:
        if id(node) not in sizes:
            sizes[id(node)], depths[id(node)] = math.inf, 0  # what it is as long as it is inside itself
            below = node.value if isinstance(node.value, list) else []
            parts = [measure(one) for entry in below for one in (entry if isinstance(entry, tuple) else (entry,))]
            sizes[id(node)] = 1 + sum(size for size, _ in parts)
            depths[id(node)] = 1 + max((depth for _, depth in parts), default=0)
        return sizes[id(node)], depths[id(node)]

    size, depth = measure(root) if root is not None else (0, 0)
    if math.isinf(size):
        raise HilbertuneError(f"{name} has an anchor that contains itself: write its values out.")
    if size > MOST_VALUES:
        raise HilbertuneError(
            f"{name} holds {size:,} values, those that anchors repeat counted each time: "
            f"{kind} may have {MOST_VALUES:,}."
        )
    if depth > DEEPEST:
        raise HilbertuneError(f"{name} is nested too deeply for {kind}.")
