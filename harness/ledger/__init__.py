"""The cell folders: what is known about each run, and who works on it. Nothing else writes there.

`runs/<fingerprint>/` is the truth about one cell of a grid:

    spec.json          what is trained: grid, readable name, axes, the resolved run
    claim.json         who works on it (host, process, since); there while somebody does
    heartbeat.json     written every second by who holds the claim: position, loss, time left
    checkpoint.pt      what training changes, from which it continues exactly; the previous one is kept beside it
    metrics.jsonl      one row per epoch
    noise.npy          the corrupted pairing: image index of each training caption (of an oracle, of those it trains on)
    labels.npy         the correspondence labels of the selected network
    label_history.npy  the labels at the end of each epoch
    pairs.npz          every training pair as the selected network sees it: similarity, match; and whether it is true
    ranks.npz          the ranks of the test queries, by protocol: what two runs are compared by
    model.safetensors  the selected network
    vocabulary.json    the words that the network reads, by number, and how a caption becomes words
    dataset.json       the card of the data set of a run that was imported, whose data need not be here
    result.json        the figures at the end; a cell with a result is done
    failure.json       why it failed, with the traceback
    log.txt            what the worker printed

schema.py has the keys of those that a later version must read.
"""

from harness.ledger.cell import Cell, Ledger
from harness.ledger.claim import Claim, ClaimLost

__all__ = ["Cell", "Claim", "ClaimLost", "Ledger"]
