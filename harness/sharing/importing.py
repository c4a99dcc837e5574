"""`harness import` as a function: an exported run into a ledger, as a finished run."""

from pathlib import Path

from harness.errors import HarnessError
from harness.files import file_sha256, whole_folder, write_atomic
from harness.ledger import Cell, Ledger
from harness.sharing import folder as form

STAGING = ".import"  # of the runs folder, where no verb looks


def import_run(folder: Path, ledger: Ledger) -> tuple[Cell, bool]:
    """Take an exported run into a ledger, under its fingerprint. It is there when all of it is copied, not before.

    Args:
        folder: as `harness export` made it, or a hub gives it back.
        ledger: its folder is made if it is not there.

    Returns:
        The run, and whether it is new: False where the ledger had this very run, finished, already.

    Raises:
        HarnessError: the folder is damaged (see `folder.open_exported`), or the ledger has this run otherwise: trained
            here, or begun. It is left as it is.
    """
    exported = form.open_exported(folder)
    files = form.read_manifest(folder).files
    cell = ledger.cell(exported.fingerprint)
    if cell.folder.exists():
        if file_sha256(cell.path("result.json")) == files["result.json"]:
            return cell, False
        state = cell.state() if cell.path("spec.json").is_file() else "there"
        raise HarnessError(
            f"{cell.folder}: this run is {state} here, with another result or none, and is not overwritten; accepted: "
            "a ledger without it (--runs), or move the folder elsewhere"
        )
    with whole_folder(cell.folder, ledger.root / STAGING) as made:
        for name, sha256 in files.items():
            if name == form.ENVIRONMENT:  # result.json says it of the training
                continue
            write_atomic(made / name, (folder / name).read_bytes())
            if file_sha256(made / name) != sha256:
                raise HarnessError(f"{folder / name}: changed while it was copied; run the same command again")
    return Cell(cell.folder), True
