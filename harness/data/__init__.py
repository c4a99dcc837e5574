"""Data: the field's precomputed-feature layout, captions as word numbers; batches of pairs in `batches`, with torch."""

from harness.data.augmentation import Augmentation
from harness.data.cards import CARDS, DatasetCard
from harness.data.dataset import Captions, Dataset, Split, open_dataset
from harness.data.pixels import PixelDataset
from harness.data.tokenizer import tokenize
from harness.data.vocabulary import Vocabulary

__all__ = [
    "CARDS",
    "Augmentation",
    "Captions",
    "Dataset",
    "DatasetCard",
    "PixelDataset",
    "Split",
    "Vocabulary",
    "open_dataset",
    "tokenize",
]
