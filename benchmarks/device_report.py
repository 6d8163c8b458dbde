"""What a section of benchmarks/device.py says, line by line, and how a person reads it."""

import dataclasses
import json
import time


@dataclasses.dataclass
class Reporter:
    """Sends the lines of one section to the process that prints them, and knows its time.

    Attributes:
        section: its name.
        ends: `time.monotonic()` after which no further row should begin.
        failures: what went wrong, one line each.
    """

    section: str
    ends: float
    failures: list[str] = dataclasses.field(default_factory=list)

    def _send(self, **content: object) -> None:
        print(json.dumps({"section": self.section} | content), flush=True)

    def columns(self, *names: str) -> None:
        """The heads of the table."""
        self._send(columns=names)

    def row(self, *cells: object) -> None:
        """A line of the table; floats are shortened."""
        self._send(row=[shown(cell) for cell in cells])

    def note(self, text: str) -> None:
        """A line below the table."""
        self._send(note=text)

    def fail(self, text: str) -> None:
        """A note of something wrong: the exit status will be 1."""
        self.failures.append(text)
        self.note(f"FAILED: {text}")

    def in_time(self, left: str) -> bool:
        """Whether there is time for what comes next; says so where there is none."""
        if time.monotonic() < self.ends:
            return True
        self.fail(f"out of time before {left}")
        return False

    def end(self) -> None:
        """Nothing more comes."""
        self._send(end=True, failures=self.failures)


def shown(cell: object) -> str:
    """Text as it is, numbers with up to four digits, None as a dash."""
    if cell is None:
        return "-"
    if not isinstance(cell, float):
        return str(cell)
    if cell == 0:
        return "0"
    if abs(cell) < 0.01:
        return f"{cell:.1e}"
    if abs(cell) < 1:
        return f"{cell:.3f}"
    return f"{cell:.4g}" if abs(cell) < 1000 else f"{cell:.0f}"


@dataclasses.dataclass
class Section:
    """A section as received: its table, notes and what failed."""

    name: str
    title: str
    columns: list[str] = dataclasses.field(default_factory=list)
    rows: list[list[str]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    failures: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def take(self, content: dict) -> str | None:
        """Keeps what a line says; the text to print for it, if any."""
        if "columns" in content:
            self.columns = content["columns"]
            return self._aligned(self.columns)
        if "row" in content:
            self.rows.append(content["row"])
            return self._aligned(content["row"])
        if "note" in content:
            self.notes.append(content["note"])
            return content["note"]
        self.failures += content.get("failures", [])
        return None

    def _aligned(self, cells: list[str]) -> str:
        widths = [44] + [max(12, len(name)) for name in self.columns[1:]]
        first, *others = zip(cells, widths, strict=True)
        parts = [f"{first[0]:{first[1]}}"] + [f"{cell:>{width}}" for cell, width in others]
        return " ".join(parts).rstrip()

    def markdown(self) -> str:
        """The section as a heading, a table and its notes."""
        lines = [f"## {self.title}", ""]
        if self.columns:
            lines += [_bars(self.columns), _bars(["---"] * len(self.columns))]
            lines += [_bars(row) for row in self.rows] + [""]
        lines += [f"- {note}" for note in self.notes] + ([""] if self.notes else [])
        return "\n".join([*lines, f"{self.seconds:.0f} s.", ""])


def _bars(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
