"""What a test can do with a browser, whichever browser it is.

A page is one person: it has storage of its own (cookies, localStorage), as a private window would.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import trio

__all__ = ["Browser", "LogEntry", "Page"]


class LogEntry(NamedTuple):
    """One line of a page's console, or an uncaught error in it."""

    level: str
    """``debug``, ``info``, ``warning`` or ``error``."""
    text: str


class Page(ABC):
    """One top-level page."""

    def __init__(self) -> None:
        self.log: list[LogEntry] = []
        """What the page wrote to its console, with uncaught errors and failed loads, oldest first."""
        self._readers = trio.lowlevel.ParkingLot()

    @abstractmethod
    async def goto(self, url: str) -> None:
        """Load `url`; returns after the page's ``load`` event."""

    @abstractmethod
    async def reload(self) -> None:
        """Load the page again, as the reload button does; returns after ``load``."""

    @abstractmethod
    async def evaluate(self, function: str, *arguments: Any) -> Any:
        """Call a JavaScript function (source text) with JSON arguments; a promise is awaited.

        Returns the result as plain Python data (it goes through JSON; ``undefined`` is None).
        Raises DriverError with the JavaScript error's text.
        """

    @abstractmethod
    async def screenshot(self) -> bytes:
        """Return the visible part of the page as a PNG file."""

    @abstractmethod
    async def close(self) -> None:
        """Close the page as its tab's close button does, and forget its storage."""

    def record(self, level: str, text: str) -> None:
        """Append to the log (for the drivers)."""
        self.log.append(LogEntry(level, text))
        self._readers.unpark_all()

    async def logged(self, text: str) -> LogEntry:
        """Wait until the log has an entry that contains `text`; return the first."""
        await trio.lowlevel.checkpoint()
        while True:
            for entry in self.log:
                if text in entry.text:
                    return entry
            await self._readers.park()

    def errors(self) -> list[str]:
        """Return the texts of the error entries in the log."""
        return [entry.text for entry in self.log if entry.level == "error"]


class Browser(ABC):
    """One running browser."""

    name: str
    """``chromium`` or ``firefox``."""

    @abstractmethod
    async def new_page(self, url: str, *, preload: str = "() => {}") -> Page:
        """Open a page with fresh storage and load `url` in it.

        `preload` is a JavaScript function that runs before any script of any document of the page.
        """


def call_with_json(function: str) -> str:
    """Wrap a function so that it takes one JSON array of arguments and gives back JSON text or null."""
    return (
        f"async (text) => {{ const result = await ({function})(...JSON.parse(text));"
        " return result === undefined ? null : JSON.stringify(result); }"
    )
