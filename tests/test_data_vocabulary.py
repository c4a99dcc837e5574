import json
from pathlib import Path

import numpy as np
import pytest
from oracles.layout import vocabulary as slow_vocabulary
from synthetic import write_dataset

from harness.data import Captions, Vocabulary, open_dataset, tokenize
from harness.data.tokenizer import Tokens
from harness.data.vocabulary import caption_ids
from harness.errors import HarnessError


def official(path: Path, words: list[str]) -> Path:
    """A vocabulary file as SCAN's code writes it."""
    numbers = {word: number for number, word in enumerate(words)}
    names = {str(number): word for number, word in enumerate(words)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"word2idx": numbers, "idx2word": names, "idx": len(words)}))
    return path


def test_official_file_without_mask_gets_it_behind_its_words(tmp_path: Path) -> None:
    words = ["<pad>", "<start>", "<end>", "<unk>", "dog", "cat"]
    vocabulary = Vocabulary.load(official(tmp_path / "v.json", words))
    assert vocabulary.words == [*words, "<mask>"]
    assert (vocabulary.start, vocabulary.end, vocabulary.unk, vocabulary.mask) == (1, 2, 3, 6)
    assert vocabulary.ids(["cat", "dog", "cow"]) == [1, 5, 4, 3, 2]
    assert vocabulary.index("dog") == 4


def test_official_file_with_mask_keeps_it_where_it_is(tmp_path: Path) -> None:
    words = ["<pad>", "<start>", "<end>", "<unk>", "<mask>", "dog"]
    vocabulary = Vocabulary.load(official(tmp_path / "v.json", words))
    assert vocabulary.words == words
    assert vocabulary.mask == 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("no json", "Expecting value"),
        ("[]", "not a vocabulary"),
        ('{"words": []}', "word2idx"),
        ('{"word2idx": {"<pad>": 0, "<start>": 2}}', "without a gap"),
        ('{"word2idx": {"<start>": 0, "<pad>": 1, "<end>": 2, "<unk>": 3}}', "<pad> first"),
        ('{"word2idx": {"<pad>": 0, "dog": 1}}', "<unk> among them"),
        ('{"word2idx": {"<pad>": 0, "dog": "1"}}', "not a vocabulary"),
        ("{}", "word2idx"),
        ('{"word2idx": {}}', "0 words"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_named(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "v.json"
    path.write_text(content)
    with pytest.raises(HarnessError, match=reason) as caught:
        Vocabulary.load(path)
    assert str(caught.value).startswith(f"{path}: not a vocabulary")
    assert "\n" not in str(caught.value)


def test_built_vocabulary_equals_the_slow_twin(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "toy", {"train": 20, "dev": 9}, captions_per_image=1)
    dataset = open_dataset("toy", tmp_path)
    texts = [text for split in ("train", "dev") for text in (folder / f"{split}_caps.txt").read_text().splitlines()]
    expected = slow_vocabulary([tokenize(text) for text in texts], 4)
    assert dataset.vocabulary.words == expected
    assert len(expected) < len(slow_vocabulary([tokenize(text) for text in texts], 1)), "no rare word to leave out"


def test_a_caption_cannot_smuggle_in_special_words() -> None:
    vocabulary = Vocabulary.build([Tokens(["<pad>", "dog"], np.array([0] * 9 + [1] * 9), np.array([0, 18]))])
    assert vocabulary.words == ["<pad>", "<start>", "<end>", "<unk>", "dog", "<mask>"]


def test_caption_ids_are_those_of_each_caption() -> None:
    texts = ["A dog.", "", "the big dog", "a zebra"]
    vocabulary = Vocabulary(["<pad>", "<start>", "<end>", "<unk>", "a", "dog", "the", "."])
    captions = Captions(*caption_ids(Tokens.of(texts), vocabulary))
    expected = [vocabulary.ids(tokenize(text)) for text in texts]
    assert len(captions) == 4
    assert captions.lengths.tolist() == [len(ids) for ids in expected] == [5, 2, 5, 4]
    for rows in ([0, 1, 2, 3], [3, 1, 3], [1]):
        tokens, lengths = captions.padded(np.array(rows))
        assert lengths.tolist() == [len(expected[row]) for row in rows]
        assert tokens.shape[1] == max(lengths)
        assert tokens.dtype == np.int64
        longest = max(lengths)
        assert tokens.tolist() == [expected[row] + [0] * int(longest - len(expected[row])) for row in rows]


@pytest.mark.parametrize("place", ["toy/vocab/toy_vocab.json", "vocab/toy_vocab.json"])
def test_the_official_file_is_found_inside_or_beside_the_folder(tmp_path: Path, place: str) -> None:
    write_dataset(tmp_path / "toy", {"train": 6, "dev": 3})
    official(tmp_path / place, ["<pad>", "<start>", "<end>", "<unk>", "near"])
    official(tmp_path / "vocab/another_vocab.json", ["<pad>", "<start>", "<end>", "<unk>"])
    dataset = open_dataset("toy", tmp_path)
    assert dataset.vocabulary.words == ["<pad>", "<start>", "<end>", "<unk>", "near", "<mask>"]
    assert set(dataset.split("dev").captions.ids.tolist()) == {1, 2, 3, 4}


def test_without_file_and_train_captions_the_message_says_what_to_copy(tmp_path: Path) -> None:
    write_dataset(tmp_path / "toy", {"test": 3})
    with pytest.raises(HarnessError, match=r"neither vocab/toy_vocab\.json nor train captions .* copy either there"):
        open_dataset("toy", tmp_path).split("test")
