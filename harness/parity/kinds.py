"""The kinds of golden files. A file is recognised by its name; sizes come from shapes."""

from harness.parity import crcl
from harness.parity.reading import Kind

KINDS: dict[str, Kind] = {**crcl.KINDS}
