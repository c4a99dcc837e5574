"""Data: the field's precomputed-feature layout, captions as word numbers; batches of pairs in `batches`, with torch."""

from harness.data.augmentation import Augmentation
from harness.data.cards import CARDS, DatasetCard
from harness.data.dataset import Dataset, Split, open_dataset
from harness.data.pixels import PixelDataset
from harness.data.runs import write_runs
from harness.data.sides import Captions, Vectors
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
    "Vectors",
    "Vocabulary",
    "open_dataset",
    "tokenize",
    "write_runs",
]
