"""Looks at pages as a person would: in a real browser (Chromium, as Qt carries it), on a desk, on a phone, in print.

In: a folder for pictures, and pages.
Out: on standard output what was seen of each page as JSON; in the folder NUMBER-WIDTH.png and NUMBER.pdf of each page.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["QTWEBENGINE_DISABLE_SANDBOX"] = "1"  # build machines run as root
# With --dark as the first argument the reader prefers a dark ground.
os.environ["QTWEBENGINE_CHROMIUM_FLAGS"] = (
    "--disable-gpu --no-proxy-server --log-level=3 --blink-settings=preferredColorScheme="
    + ("0" if sys.argv[1] == "--dark" else "1")
)
os.environ["QT_QUICK_BACKEND"] = "software"

import pypdfium2
from PySide6.QtCore import QEventLoop, QMarginsF, QTimer, QUrl
from PySide6.QtGui import QImage, QPageLayout, QPageSize, QPainter
from PySide6.QtWebEngineCore import (
    QWebEnginePage,
    QWebEngineProfile,
    QWebEngineUrlRequestInterceptor,
)
from PySide6.QtWebEngineWidgets import QWebEngineView
from PySide6.QtWidgets import QApplication

PAPER = QPageLayout(QPageSize(QPageSize.PageSizeId.A4), QPageLayout.Orientation.Portrait, QMarginsF(40, 40, 40, 40))
WIDTHS, HEIGHT = (1200, 390), 1600
"""Pixels of the window: those of a desk and of a phone."""

MEASURE = """
(function () {
  const box = e => {
    const r = e.getBoundingClientRect();
    return [r.left + scrollX, r.top + scrollY, r.width, r.height];
  };
  const named = (list, f) => Object.fromEntries([...list].map(e => [e.closest("figure").id, f(e)]));
  const figures = document.querySelectorAll("figure svg");
  return JSON.stringify({
    width: document.documentElement.clientWidth,
    page: [document.documentElement.scrollWidth, document.documentElement.scrollHeight],
    figures: named(figures, box),
    shapes: named(figures, e => [...e.querySelectorAll("path, use, text, image")].filter(
      s => s.getBoundingClientRect().width + s.getBoundingClientRect().height > 0).length),
    letters: named(figures, e => Math.min(...[...e.querySelectorAll("text")].map(
      t => parseFloat(getComputedStyle(t).fontSize) * Math.hypot(t.getScreenCTM().b, t.getScreenCTM().d)))),
    overlaps: named(figures, e => {
      const boxes = [...e.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
      const hits = [];
      boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
        const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
        const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
        if (wide > 1 && high > 0.4 * Math.min(p.height, q.height)) hits.push(a + " | " + b);
      }));
      return hits;
    }),
    cut: named(figures, e => {
      const all = e.getBoundingClientRect();
      return [...e.querySelectorAll("text")].filter(t => {
        const r = t.getBoundingClientRect();
        return r.left < all.left - 1 || r.right > all.right + 1 || r.top < all.top - 1 || r.bottom > all.bottom + 1;
      }).map(t => t.textContent);
    }),
    outside: [...document.querySelectorAll("main *")].filter(e => !e.closest(".scroll, svg")
      && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 80)),
    scrolls: [...document.querySelectorAll(".scroll, pre")].filter(e => e.scrollWidth > e.clientWidth + 1).map(
      e => e.getAttribute("aria-label") || e.tagName),
    ground: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.body).color,
    labels: [...new Set([...document.querySelectorAll("figure svg text")].map(t => getComputedStyle(t).fill))],
    papers: [...document.querySelectorAll("figure svg")].map(
      e => getComputedStyle(e.querySelector("g[id$=patch_1] path")).fill),
    first: [...document.querySelectorAll("figure, .verdict, table")].map(e => e.tagName)[0],
    text: document.body.innerText,
    title: document.title,
    scripts: document.scripts.length,
    images: document.images.length,
  });
})()
"""


class Page(QWebEnginePage):
    """A page that writes down what it complains about."""

    def __init__(self, profile: QWebEngineProfile, parent: Any) -> None:
        super().__init__(profile, parent)
        self.console: list[str] = []

    def javaScriptConsoleMessage(self, level: Any, message: str, line: int, source: str) -> None:
        self.console.append(f"{level.name}: {message} ({source}:{line})")


class Requests(QWebEngineUrlRequestInterceptor):
    """Writes down every request."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def interceptRequest(self, info: Any) -> None:
        self.urls.append(info.requestUrl().toString())


def wait(start: Any, seconds: float = 30.0) -> Any:
    """Run the event loop until what `start` began calls back, and return its answer."""
    loop, answers = QEventLoop(), []

    def answer(*values: Any) -> None:
        answers.append(values[0] if len(values) == 1 else values)
        loop.quit()

    QTimer.singleShot(int(1000 * seconds), loop.quit)
    start(answer)
    if not answers:
        loop.exec()
    if not answers:
        sys.exit("The browser did not answer in time.")
    return answers[0]


def pause(milliseconds: int) -> None:
    wait(lambda done: QTimer.singleShot(milliseconds, lambda: done(None)))


MARK = """
(function (number, top) {
  const mark = document.getElementById("mark") || document.body.appendChild(document.createElement("i"));
  mark.id = "mark";
  mark.style = "position: fixed; left: 0; top: 0; width: 6px; height: 6px; background: rgb(255, 0, " + number + ")";
  window.scrollTo(0, top);
  return window.scrollY;
})(%d, %d)
"""


def photograph(view: QWebEngineView, width: int, height: int) -> QImage:
    """Return a picture of the whole page, put together from what the window shows while it scrolls."""
    picture = QImage(width, height, QImage.Format.Format_RGB32)
    picture.fill(0xFF00FF)
    painter = QPainter(picture)
    for number, top in enumerate(range(0, height, HEIGHT), 1):
        script = MARK % (number, top)
        reached = wait(lambda done, script=script: view.page().runJavaScript(script, 0, done))
        # A frame may be late: a mark in its corner tells which one it is.
        for _ in range(300):
            pause(20)
            shown = view.grab().toImage()
            if shown.pixelColor(2, 2).getRgb()[:3] == (255, 0, number):
                break
        else:
            sys.exit("The browser drew no frame.")
        painter.drawImage(0, int(reached), shown)
    painter.end()
    remove = 'document.getElementById("mark").remove()'
    wait(lambda done: view.page().runJavaScript(remove, 0, done))
    return picture


def resize(view: QWebEngineView, width: int) -> None:
    """Give the window a width and wait until the page has it too."""
    view.resize(width, HEIGHT)
    for _ in range(300):
        pause(20)
        if wait(lambda done: view.page().runJavaScript("window.innerWidth", 0, done)) == width:
            return
    sys.exit("The page did not take the width of the window.")


def look(page: Page, view: QWebEngineView, path: Path, pictures: str) -> dict[str, Any]:
    """Load a page, measure and photograph it at each width, print it, and return what was seen."""

    def load(done: Any) -> None:
        page.loadFinished.connect(done)
        page.load(QUrl.fromLocalFile(str(path.resolve())))

    def print_it(done: Any) -> None:
        page.pdfPrintingFinished.connect(lambda file, well: done(well))
        page.printToPdf(f"{pictures}.pdf", PAPER)

    seen: dict[str, Any] = {"loaded": wait(load), "widths": {}}
    for width in WIDTHS:
        resize(view, width)
        measured = json.loads(wait(lambda done: page.runJavaScript(MEASURE, 0, done)))
        photograph(view, *measured["page"]).save(f"{pictures}-{width}.png")
        seen["widths"][width] = measured
    seen["printed"] = wait(print_it)
    document = pypdfium2.PdfDocument(f"{pictures}.pdf")
    seen["pages"] = [sheet.get_textpage().get_text_range() for sheet in document]
    seen["paper"] = [sheet.render(scale=0.2).to_pil().convert("RGB").getpixel((1, 1)) for sheet in document]
    seen["console"] = page.console
    return seen


def main(folder: Path, paths: list[Path]) -> None:
    """Look at one page after the other in the same window."""
    application = QApplication([])
    requests = Requests()
    profile = QWebEngineProfile()
    profile.setUrlRequestInterceptor(requests)
    view = QWebEngineView()
    page = Page(profile, view)
    view.setPage(page)
    view.resize(WIDTHS[0], HEIGHT)
    view.show()
    seen = []
    for number, path in enumerate(paths):
        page.console, requests.urls = [], []
        seen.append(look(page, view, path, str(folder / str(number))) | {"requests": requests.urls})
    print(json.dumps(seen), flush=True)
    application.processEvents()
    os._exit(0)  # Chromium's threads need not be waited for


if __name__ == "__main__":
    chosen, *pages = map(Path, sys.argv[1 + (sys.argv[1] == "--dark") :])
    main(chosen, pages)
