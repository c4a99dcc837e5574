import gzip
import json
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from harness.data import tokenizer
from harness.data.tokenizer import Tokens, cached_tokens, tokenize

CAPTIONS = [
    "A dog's bowl.",
    "Mr. Smith cannot swim. He sinks!",
    "",
    "  A dog…  ",
    'the "U.S. flag" on St. Mark\'s',
]


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("A Dog's bowl.", ["a", "dog", "'s", "bowl", "."]),
        ("Mr. Smith sits. He eats.", ["mr.", "smith", "sits", ".", "he", "eats", "."]),
        ("The U.S. flag.", ["the", "u.s.", "flag", "."]),
        ("I cannot see it", ["i", "can", "not", "see", "it"]),
        ("", []),
    ],
)
def test_tokens_of_word_tokenize(caption: str, tokens: list[str]) -> None:
    assert tokenize(caption) == tokens


def test_golden_tokens(shared: Path) -> None:
    rows = [json.loads(line) for line in (shared / "golden/tokens.jsonl").read_text().splitlines()]
    assert len(rows) == 600
    assert [row for row in rows if tokenize(row["caption"]) != row["tokens"]] == []


def test_nltk_s_own_model_agrees_where_it_is_installed(shared: Path) -> None:
    nltk = pytest.importorskip("nltk")
    try:
        nltk.data.find("tokenizers/punkt_tab/english")
    except LookupError:
        pytest.skip("nltk's punkt_tab is not installed")
    with gzip.open(shared / "data/flickr30k_captions/dev_caps.txt.gz", "rt", encoding="utf-8") as lines:
        captions = [line.strip() for line in lines]
    assert [text for text in captions if tokenize(text) != nltk.word_tokenize(text.lower())] == []


def test_there_are_156_abbreviations() -> None:
    found = tokenizer.abbreviations()
    assert len(found) == 156
    assert {"mr", "u.s", "st"} <= found


def test_nltk_is_imported_with_the_first_caption_only() -> None:
    code = (
        "import sys, harness.data; assert 'nltk' not in sys.modules; "
        "harness.data.tokenize('a'); assert 'nltk' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_flat_tokens_hold_every_caption(tmp_path: Path) -> None:
    for tokens in (Tokens.of(CAPTIONS), cached_tokens(CAPTIONS, tmp_path), cached_tokens(CAPTIONS, tmp_path)):
        spans = zip(tokens.offsets, tokens.offsets[1:], strict=False)
        assert [[tokens.words[code] for code in tokens.codes[a:b]] for a, b in spans] == list(map(tokenize, CAPTIONS))
        counted = Counter(token for caption in CAPTIONS for token in tokenize(caption))
        assert list(zip(tokens.words, tokens.counts(), strict=True)) == list(counted.items())


def test_the_cache_is_used_and_follows_the_captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cached_tokens(CAPTIONS, tmp_path)
    assert len(list((tmp_path / ".cache").glob("*.npz"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr(tokenizer, "tokenize", lambda text: pytest.fail("tokenised again"))
        again = cached_tokens(CAPTIONS, tmp_path)
    assert again.words == first.words
    np.testing.assert_array_equal(again.codes, first.codes)
    np.testing.assert_array_equal(again.offsets, first.offsets)
    assert cached_tokens(["another"], tmp_path).words == ["another"]
    assert len(cached_tokens(["two\nlines"], tmp_path).offsets) == 2
    assert len(cached_tokens(["two", "lines"], tmp_path).offsets) == 3
    assert cached_tokens([""], tmp_path).words == cached_tokens([""], tmp_path).words == []


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    cached_tokens(CAPTIONS, tmp_path)
    (path,) = (tmp_path / ".cache").glob("*.npz")
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"no archive"):
        path.write_bytes(damaged)
        assert cached_tokens(CAPTIONS, tmp_path).words == Tokens.of(CAPTIONS).words
        assert path.stat().st_size == len(whole)


def test_a_folder_that_cannot_be_written_needs_no_cache(tmp_path: Path) -> None:
    (tmp_path / ".cache").write_text("a file where the folder should be")  # holds for root too, unlike permissions
    assert cached_tokens(CAPTIONS, tmp_path).words == Tokens.of(CAPTIONS).words


def test_many_at_once_leave_one_whole_cache_file(tmp_path: Path) -> None:
    results: list[Tokens] = []
    threads = [threading.Thread(target=lambda: results.append(cached_tokens(CAPTIONS, tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [tokens.words for tokens in results] == [Tokens.of(CAPTIONS).words] * 8
    assert sorted(path.suffix for path in (tmp_path / ".cache").iterdir()) == [".lock", ".npz"]


def test_of_processes_that_start_at_once_one_tokenises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait for it, and read what it wrote."""
    made: list[int] = []
    of = Tokens.of
    monkeypatch.setattr(Tokens, "of", lambda *given: made.append(1) or of(*given))
    threads = [threading.Thread(target=cached_tokens, args=(CAPTIONS * 500, tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_how_far_it_is_is_told() -> None:
    shares: list[float] = []
    Tokens.of(["a dog"] * 5_000, shares.append)
    assert shares == [0.4, 0.8]
    Tokens.of(["a dog"] * 2_000, shares.append)  # half a second
    assert len(shares) == 2
