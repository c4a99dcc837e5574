"""Addresses of stores and databases as they may be shown: without what only their owner should know."""

import re
from urllib.parse import unquote, urlsplit

HIDDEN = "***"
# Names of parameters whose value is nobody's business: ?password=..., &sslkey=..., &access_token=...
_SECRET = re.compile(r"(?i)([?&;][^=&;#\s]*(?:pass|pwd|token|secret|key|credential|sig)[^=&;#\s]*=)([^&;#\s]+)")
_CREDENTIALS = re.compile(r"([a-zA-Z][\w+.-]*)://([^/?#\s:]*)(:?)([^/?#\s]*)@")


def shown(text: str) -> str:
    """A text with every secret of the addresses in it hidden: USER:***@HOST, ?password=***."""
    return _SECRET.sub(rf"\g<1>{HIDDEN}", _CREDENTIALS.sub(_without_password, text))


def hide(text: str, uri: str | None) -> str:
    """A text that somebody else wrote about an address, without that one's secrets, wherever they stand in it."""
    for secret in sorted(secrets(uri), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return shown(text)


def secrets(uri: str | None) -> set[str]:
    """The secrets of an address, as they are written there and as they are meant."""
    found = {match.group(2) for match in _SECRET.finditer(uri or "")}
    for scheme, user, colon, password in _CREDENTIALS.findall(uri or ""):
        found.add(password if colon else user if _of_the_web(scheme) else "")
    return {form for secret in found if secret for form in (secret, unquote(secret))}


def public(uri: str) -> str:
    """An address for a link: without credentials, parameters and fragment."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _without_password(match: re.Match[str]) -> str:
    scheme, user, colon, _ = match.groups()
    if colon:
        return f"{scheme}://{user}:{HIDDEN}@"
    return f"{scheme}://{HIDDEN if _of_the_web(scheme) else user}@"


def _of_the_web(scheme: str) -> bool:
    """There a name alone is often a token."""
    return scheme.lower() in ("http", "https")
