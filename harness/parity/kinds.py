"""The kinds of golden files. A file is recognised by its name; sizes come from shapes."""

from harness.parity import bicro, crcl, ncr
from harness.parity.reading import Kind

KINDS: dict[str, Kind] = {**crcl.KINDS, **bicro.KINDS, **ncr.KINDS}
