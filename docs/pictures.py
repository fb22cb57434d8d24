"""Notebooks as pages of the site, and drawings that are right on a dark ground.

In: the executed notebooks in docs/notebooks, and the SVG files of the site.
Out: a page of Markdown for each notebook, with the outputs that are stored in it; mkdocs calls the functions `on_...`.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hilbertune.runtime.plotting import DARK, INK, LINEAR, MUTED, PERCEPTRON, RULE, dark_rules

OLDER = {
    "#000000": DARK[INK],
    "#808080": DARK[MUTED],
    "#b0b0b0": DARK[RULE],
    "#cccccc": DARK[RULE],
    "#0072b2": DARK[LINEAR],
    "#1f77b4": DARK[LINEAR],
    "#009e73": DARK[PERCEPTRON],
    "#2ca02c": DARK[PERCEPTRON],
    "#cc79a7": "#e8a3c8",
}
"""What colours of drawings become that were not made in today's style: matplotlib's own, and those of older figures."""

IMAGES = {"image/svg+xml": "svg", "image/png": "png"}
"""Kinds of pictures in an output and the suffixes of their files, the best first."""


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Add a page for each notebook, and a file for each of its pictures; the notebook itself can be downloaded."""
    from mkdocs.structure.files import File

    for file in [own for own in files if own.src_uri.endswith(".ipynb")]:
        place = file.src_uri.removesuffix(".ipynb")
        pictures: dict[str, bytes] = {}
        notebook = json.loads(Path(file.abs_src_path or "").read_text(encoding="utf-8"))
        page = "\n\n".join(parts(notebook, Path(place).name, pictures))
        files.append(File.generated(config, f"{place}.md", content=page))
        for name, content in pictures.items():
            files.append(File.generated(config, f"{Path(place).parent.as_posix()}/{name}", content=content))
    return files


def on_post_build(config: Any, **_: Any) -> None:
    """Let every drawing of the site turn dark with the page, also those that do not so by themselves."""
    for folder in ("images", "notebooks"):
        for path in (Path(config.site_dir) / folder).rglob("*.svg"):
            path.write_text(turning_dark(path.read_text(encoding="utf-8")), encoding="utf-8")


def turning_dark(drawing: str) -> str:
    """Return an SVG with rules for a dark ground, also one of another style; as it is if it has such rules."""
    if "prefers-color-scheme" in drawing:
        return drawing
    rules = [f"svg {{ fill: {DARK[INK]} }}"]
    rules += [
        f'[style*="{part}: {old}"] {{ {part}: {new} !important }}'
        for old, new in OLDER.items()
        for part in ("fill", "stroke")
    ]
    older = "@media screen and (prefers-color-scheme: dark) {\n" + "\n".join(rules) + "\n}"
    style = f'<style type="text/css">{dark_rules()}\n{older}</style>'
    return re.sub(r"(<svg\b[^>]*>)", lambda match: f"{match[0]}\n{style}", drawing, count=1)


def parts(notebook: Mapping[str, Any], name: str, pictures: dict[str, bytes]) -> Iterator[str]:
    """Yield the parts of a page; `pictures` receives the files that it shows, by name."""
    for number, cell in enumerate(notebook["cells"]):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield text
        else:
            yield code(text)
            for order, output in enumerate(cell["outputs"]):
                alt = cell["metadata"].get("alt", "")
                yield shown(output, f"{name}-{number}-{order}", alt, pictures)
        if number == 0:
            yield f"[Download this notebook]({name}.ipynb){{ download }}"


def code(text: str) -> str:
    """Return a cell of code as a block: a command and a file that is written look like what they are."""
    if text.startswith("!"):
        return f"```sh\n{text.removeprefix('!')}\n```"
    if (written := re.match(r"%%writefile (\S+)\n", text)) is not None:
        return f'```{Path(written[1]).suffix[1:]} title="{written[1]}"\n{text[written.end() :]}\n```'
    return f"```python\n{text}\n```"


def shown(output: Mapping[str, Any], name: str, alt: str, pictures: dict[str, bytes]) -> str:
    """Return an output as a picture, or as text."""
    data = output.get("data", {})
    for kind, suffix in IMAGES.items():
        if kind in data:
            content = "".join(data[kind])
            pictures[f"{name}.{suffix}"] = content.encode() if suffix == "svg" else base64.b64decode(content)
            return f"![{alt}]({name}.{suffix})"
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f'<div class="output" markdown>\n\n```text\n{text.rstrip()}\n```\n\n</div>'
