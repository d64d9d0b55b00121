"""Markdown that what people typed cannot break out of, and the few figures that every board shows."""

import html
from collections.abc import Sequence
from datetime import datetime


def cell(text: object) -> str:
    """Return a text as it may stand in a table's cell."""
    return plain(" ".join(str(text).split()))


def plain(text: str) -> str:
    """Return a line with everything that Markdown or HTML would read in a cell written as what it is."""
    return "".join(f"&#{ord(c)};" if c in r"\[]*_~`|#" else c for c in html.escape(text, quote=False))


def sentence(line: str) -> str:
    """Return a line of ours for a cell: what stands between its backticks is code, all else is plain."""
    parts = line.split("`")
    if len(parts) % 2 == 0:  # an odd backtick is somebody else's
        return plain(line)
    return "".join(code(part) if place % 2 and part.strip() else plain(part) for place, part in enumerate(parts))


def code(text: str) -> str:
    """Return a text as code in a table's cell; one that could end the code or the cell stands there plainly."""
    return cell(text) if any(c in text for c in "`|\\") else f"`{' '.join(text.split())}`"


def rows(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table; cells are Markdown already."""
    return "\n".join(
        [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(line)} |" for line in lines)]
    )


def fenced(text: str) -> str:
    """Return a block of plain lines, whatever stands in them."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"


def moment(iso: str) -> str:
    """Return a time as people read it, in UTC."""
    return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M:%S}" if iso else ""


def whole(text: str) -> str:
    """Return a text that a narrow column does not break: an id, a time."""
    return text.replace(" ", "\u00a0").replace("-", "\u2011")


def duration(seconds: float) -> str:
    """Return a span of time as people read it: 8 s, 4 min 10 s, 3 h 20 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def minutes(seconds: float) -> str:
    """Return a span of time that is still growing, in whole minutes: what shows it need not change each second."""
    return "< 1 min" if seconds < 60 else duration(seconds // 60 * 60).removesuffix(" 0 s")


def size(count: float) -> str:
    """Return bytes as people read them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
