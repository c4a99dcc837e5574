"""Tokens exactly as nltk's `word_tokenize(caption.lower())` gives them, without its download, and a cache.

word_tokenize is two steps: Punkt splits a text into sentences, the Treebank-like word tokenizer splits those.
nltk carries the code of both, but Punkt's English parameters are a download. Captions need only its list of
abbreviations, which lies beside this file. nltk is imported when the first caption is tokenised, not before.
"""

import hashlib
import json
import os
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from itertools import chain
from pathlib import Path

import numpy as np
from filelock import FileLock

from harness.errors import HarnessError

ABBREVIATIONS_FILE = Path(__file__).with_name("punkt_abbreviations.txt")
CACHE_FOLDER = ".cache"
WORDS = "words"  # the field's tokens
_TELL_EVERY = 2_000


def abbreviations() -> frozenset[str]:
    """English abbreviations, lower case, without their final full stop."""
    lines = ABBREVIATIONS_FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


@cache
def _nltk() -> tuple[Callable[[str], list[str]], Callable[[str], list[str]]]:
    """Sentence splitter and word splitter."""
    from nltk.tokenize.destructive import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    parameters = PunktParameters()
    parameters.abbrev_types = set(abbreviations())
    return PunktSentenceTokenizer(parameters).tokenize, NLTKWordTokenizer().tokenize


def tokenize(caption: str) -> list[str]:
    """The lower-cased caption's tokens."""
    sentences, words = _nltk()
    return [token for sentence in sentences(caption.lower()) for token in words(sentence)]


def splitter(name: str) -> Callable[[str], list[str]]:
    """A caption -> its tokens. name: "words"; "characters", for languages that set no spaces; "ids", for captions that
    were published as numbers; or a transformers tokenizer by hub name or local folder.

    Raises:
        HarnessError: there is no such tokenizer, or no transformers.
    """
    if name == WORDS:
        return tokenize
    if name == "characters":
        return lambda caption: [c for c in unicodedata.normalize("NFC", caption.lower()) if not c.isspace()]
    if name == "ids":
        return lambda caption: caption.replace(",", " ").split()
    try:
        from transformers import AutoTokenizer

        found = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, ImportError) as error:
        raise HarnessError(
            f"tokenizer = {name!r}: {' '.join(str(error).split())[:200]}; accepted: words, characters, ids, or a "
            "transformers tokenizer by hub name or local folder; mend it in card.json"
        ) from None
    return lambda caption: list(found.tokenize(caption))


@dataclass(frozen=True)
class Tokens:
    """Tokens of many captions: caption i is `codes[offsets[i]:offsets[i + 1]]`, places in `words`.

    `words` stand in the order of their first appearance.
    """

    words: list[str]
    codes: np.ndarray  # int32 (tokens,)
    offsets: np.ndarray  # int64 (captions + 1,)

    @classmethod
    def of(
        cls, texts: Sequence[str], tell: Callable[[float], None] = lambda share: None, tokenizer: str = WORDS
    ) -> "Tokens":
        """tell: given the share that is done, every few thousand captions (4,000 a second on one core), and of fewer
        nothing. tokenizer: as for `splitter`."""
        split = splitter(tokenizer)
        number: dict[str, int] = {}
        coded: list[list[int]] = []
        for place, text in enumerate(texts):
            if place and place % _TELL_EVERY == 0:
                tell(place / len(texts))
            coded.append([number.setdefault(token, len(number)) for token in split(text)])
        lengths = np.fromiter(map(len, coded), dtype=np.int64, count=len(coded))
        codes = np.fromiter(chain.from_iterable(coded), dtype=np.int32, count=int(lengths.sum()))
        return cls(list(number), codes, np.concatenate(([0], np.cumsum(lengths))))

    def counts(self) -> np.ndarray:
        """How often each word occurs (words,)."""
        return np.bincount(self.codes, minlength=len(self.words))


def _cache_key(texts: Sequence[str], tokenizer: str) -> str:
    """A hash of what decides the tokens: the captions, nltk's version and the abbreviations, or another tokenizer."""
    named = "" if tokenizer == WORDS else f"{tokenizer}\n"
    digest = hashlib.sha256(f"1 {metadata.version('nltk')}\n{named}".encode())
    digest.update(ABBREVIATIONS_FILE.read_bytes())
    digest.update(json.dumps(list(texts)).encode())
    return digest.hexdigest()[:32]


def cached_tokens(
    texts: Sequence[str],
    folder: Path,
    tell: Callable[[float], None] = lambda share: None,
    tokenizer: str = WORDS,
) -> Tokens:
    """`Tokens.of(texts, tell, tokenizer)`, kept in folder/.cache under a hash of the content.

    Of processes that start at once, one tokenises and the others wait for it. The lock is the system's: it goes with
    the process that holds it. A folder that cannot be written is used without a cache.
    """
    path = folder / CACHE_FOLDER / f"tokens-{_cache_key(texts, tokenizer)}.npz"
    kept = _kept(path)
    if kept is not None:
        return kept
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):
        pass  # a folder that cannot be written, or a disk without locks: each process tokenises
    try:
        kept = _kept(path)
        if kept is None:
            kept = Tokens.of(texts, tell, tokenizer)
            _store(kept, path)
        return kept
    finally:
        lock.release()


def _kept(path: Path) -> Tokens | None:
    """The tokens of a cache file; None where there is none, or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            words = bytes(stored["words"]).decode().split("\n") if len(stored["words"]) else []
            return Tokens(words, stored["codes"], stored["offsets"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    except SystemError:  # of Python 3.11, when several threads parse at once, as numpy does a header
        return None


def _store(tokens: Tokens, path: Path) -> None:
    blob = np.frombuffer("\n".join(tokens.words).encode(), dtype=np.uint8)  # no token holds a line end
    try:
        path.parent.mkdir(exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, words=blob, codes=tokens.codes, offsets=tokens.offsets)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
