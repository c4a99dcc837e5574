"""The kinds of golden files. A file is recognised by its name; sizes come from shapes."""

from harness.parity import bicro, crcl, dcl, decl, gsc, l2rm, labels, mscn, ncr, npc, osa, tal
from harness.parity.reading import Kind

KINDS: dict[str, Kind] = {
    **crcl.KINDS,
    **labels.KINDS,
    **decl.KINDS,
    **dcl.KINDS,
    **tal.KINDS,
    **gsc.KINDS,
    **l2rm.KINDS,
    **bicro.KINDS,
    **ncr.KINDS,
    **mscn.KINDS,
    **npc.KINDS,
    **osa.KINDS,
}
