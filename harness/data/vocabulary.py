"""Words and their numbers: the field's vocabulary files, or one built as SCAN builds it.

SCAN's JSON files hold <pad>, <start>, <end>, <unk> and then words. CRCL's code adds <mask> behind the last word when a
file is loaded without it. So does this one, for built vocabularies too: every other word keeps its number.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from harness.data.tokenizer import Tokens
from harness.errors import HarnessError
from harness.files import write_json

PAD, START, END, UNK, MASK = "<pad>", "<start>", "<end>", "<unk>", "<mask>"
SPECIAL = (PAD, START, END, UNK)
MINIMUM_COUNT = 4  # SCAN: a word seen less often in train and dev is <unk>


class Vocabulary:
    """A word's number is its place in `words`; <pad> is 0, <mask> is always there."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = list(words)
        distinct = set(self.words)
        if self.words[:1] != [PAD] or len(distinct) != len(self.words) or not distinct >= set(SPECIAL):
            raise HarnessError(
                f"vocabulary of {len(self.words)} words; accepted: distinct words, {PAD} first, "
                f"{START}, {END} and {UNK} among them"
            )
        if MASK not in distinct:
            self.words.append(MASK)
        self._number = {word: number for number, word in enumerate(self.words)}
        self.start, self.end, self.unk, self.mask = (self._number[word] for word in (START, END, UNK, MASK))

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._number

    def index(self, word: str) -> int:
        """The word's number, that of <unk> for an unknown word."""
        return self._number.get(word, self.unk)

    def ids(self, tokens: Sequence[str]) -> list[int]:
        """Numbers of the tokens between <start> and <end>."""
        return [self.start, *map(self.index, tokens), self.end]

    @classmethod
    def build(cls, splits: Iterable[Tokens], minimum_count: int = MINIMUM_COUNT) -> "Vocabulary":
        """Words seen at least `minimum_count` times over all `splits`, in order of first appearance."""
        counts: dict[str, int] = {}
        for tokens in splits:
            for word, count in zip(tokens.words, tokens.counts().tolist(), strict=True):
                counts[word] = counts.get(word, 0) + count
        return cls(
            (
                *SPECIAL,
                *(word for word, count in counts.items() if count >= minimum_count and word not in SPECIAL),
            )
        )

    def table(self) -> dict[str, object]:
        """What an official vocabulary file holds."""
        words = {str(number): word for number, word in enumerate(self.words)}
        return {"word2idx": self._number, "idx2word": words, "idx": len(words)}

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """An official vocabulary file: JSON with word2idx, idx2word, idx."""
        try:
            numbers = json.loads(path.read_bytes())["word2idx"]
            words = sorted(numbers, key=numbers.__getitem__)
            if [numbers[word] for word in words] != list(range(len(words))):
                raise ValueError("the numbers are not 0, 1, 2, ... without a gap")
            return cls(words)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, HarnessError) as error:
            raise HarnessError(
                f"{path}: not a vocabulary ({error}); accepted: JSON with word2idx numbering words from 0, "
                f"{PAD} first; without the file one is built from the captions"
            ) from None


def write_reading(path: Path, vocabulary: Vocabulary, tokenizer: str) -> None:
    """How a network reads captions, beside it: an official vocabulary file, and how a caption becomes words."""
    write_json(path, {"tokenizer": tokenizer, **vocabulary.table()})


def read_reading(path: Path) -> tuple[Vocabulary, str] | None:
    """The vocabulary and the tokenizer of `write_reading`; None where there is no file."""
    if not path.exists():
        return None
    vocabulary = Vocabulary.load(path)
    return vocabulary, str(json.loads(path.read_bytes()).get("tokenizer", "words"))


def caption_ids(tokens: Tokens, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Word numbers of all captions with <start> and <end>: flat int32 (n,), offsets int64 (captions + 1,)."""
    number = np.array([vocabulary.index(word) for word in tokens.words], dtype=np.int32)
    captions = len(tokens.offsets) - 1
    offsets = tokens.offsets + 2 * np.arange(captions + 1)
    ids = np.empty(int(offsets[-1]), dtype=np.int32)
    ends = np.zeros(len(ids), dtype=bool)
    ends[offsets[:-1]] = ends[offsets[1:] - 1] = True
    ids[offsets[:-1]] = vocabulary.start
    ids[offsets[1:] - 1] = vocabulary.end
    ids[~ends] = number[tokens.codes]
    return ids, offsets
