"""Numbers and times as the page prints them; a minus is a minus, not a hyphen."""


def decimal(value: float | None) -> str:
    """One decimal, as papers print recalls; nothing for nothing."""
    return "" if value is None else f"{round(value, 1) + 0.0:.1f}".replace("-", "−")


def signed(value: float | None) -> str:
    """A difference, with its sign unless it is printed as zero."""
    if value is None:
        return ""
    rounded = round(value, 1) + 0.0  # no -0.0
    return f"{rounded:+.1f}".replace("-", "−") if rounded else "0.0"


def duration(seconds: float) -> str:
    """The two largest units: "1.5 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def moment(stamp: str) -> str:
    """An ISO time of the ledger, which is in UTC, to the minute."""
    return stamp[:16].replace("T", " ") + " UTC"


def count(number: int, one: str) -> str:
    """1 run, 2 runs."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"
