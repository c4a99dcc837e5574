"""Numbers and times as they are printed everywhere; a minus is a minus, not a hyphen."""

NOTHING = "–"  # stands where a number is missing; what nobody has measured or published is blank instead


def decimal(value: float | None, digits: int = 1, *, sign: bool = False) -> str:
    """A number as papers print recalls; nothing for nothing.

    sign: a plus before what is above zero, as for differences; what is printed as zero has no sign.
    """
    if value is None:
        return ""
    rounded = round(value, digits) + 0.0  # no -0.0
    return f"{rounded:{'+' if sign and rounded else ''}.{digits}f}".replace("-", "−")


def percent(share: float, digits: int = 1) -> str:
    """39.9 %; nothing for NaN, the share of nothing."""
    return NOTHING if share != share else f"{decimal(100 * share, digits)} %"


def short(value: object) -> str:
    """A setting or another value of any kind in few letters: four digits of a float, a list as 7-7-32."""
    if isinstance(value, list):
        return "-".join(map(str, value))
    if value is None or value is True or value is False:
        return {None: "none", True: "on", False: "off"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
    """1 run, 2 runs, 1,000 runs."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def ordinal(place: int) -> int:
    """A place as people count it: files and code count pieces and epochs from 0, whatever is printed counts from 1."""
    return place + 1


def name_epoch(epoch: int, epochs: int, piece: int = 0, pieces: int = 1) -> str:
    """Where in its training a run is, from places that count from 0: "piece 2 of 2, epoch 3 of 6"; a run of one piece
    has epochs alone."""
    words = f"epoch {ordinal(epoch)} of {epochs}"
    return f"piece {ordinal(piece)} of {pieces}, {words}" if pieces > 1 else words
