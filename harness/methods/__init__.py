"""What to do with a similarity matrix and the state of its pairs.

To add a method: a module with its class, one line in `METHODS`, one test.
"""

from harness.methods.base import Method, Phase, Progress
from harness.methods.bicro import BiCro
from harness.methods.crcl import CRCL
from harness.methods.dcl import DCL
from harness.methods.decl import DECL
from harness.methods.gsc import GSC
from harness.methods.infonce import InfoNCE
from harness.methods.l2rm import L2RM
from harness.methods.mscn import MSCN
from harness.methods.ncr import NCR
from harness.methods.npc import NPC
from harness.methods.osa import OSA
from harness.methods.rcl import RCL
from harness.methods.srem import SREM
from harness.methods.sum_hinge import SumHinge
from harness.methods.tal import TAL
from harness.methods.triplet import Triplet
from harness.methods.zero_shot import ZeroShot

METHODS: dict[str, type[Method]] = {
    "crcl": CRCL,
    "triplet": Triplet,
    "sum_hinge": SumHinge,
    "infonce": InfoNCE,
    "rcl": RCL,
    "srem": SREM,
    "dcl": DCL,
    "tal": TAL,
    "decl": DECL,
    "l2rm": L2RM,
    "gsc": GSC,
    "ncr": NCR,
    "bicro": BiCro,
    "mscn": MSCN,
    "npc": NPC,
    "osa": OSA,
    "zero_shot": ZeroShot,
}

__all__ = ["METHODS", "Method", "Phase", "Progress"]
