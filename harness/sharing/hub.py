"""An exported run to the Hugging Face hub, by that hub's own client."""

import re
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.extras import require

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def push_folder(folder: Path, repository: str) -> str:
    """Upload a folder as it is, as the user whom the client knows (`hf auth login`, HF_TOKEN).

    Args:
        folder: an exported run.
        repository: "OWNER/NAME"; made if it is not there, and then private.

    Returns:
        Where it is now, as a URL.

    Raises:
        HarnessError: the client is not installed, the name is none, or the hub refuses.
    """
    api = require_hub(repository)
    try:
        api.create_repo(repository, repo_type="model", private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, repo_type="model", folder_path=str(folder))
    except (OSError, ValueError) as error:  # what its client raises for a refusal is an OSError
        said = " ".join(str(error).split())[:300]
        raise HarnessError(
            f"--push {repository}: {type(error).__name__}: {said}; {folder} is whole; once the hub takes it, `hf "
            f"upload {repository} {folder}` uploads it"
        ) from None
    return f"https://huggingface.co/{repository}"


def require_hub(repository: str) -> Any:
    """The hub's client, before anything is written."""
    if not REPOSITORY.fullmatch(repository):
        raise HarnessError(f"--push {repository}: accepted: OWNER/NAME")
    return require("huggingface_hub", "--push", extra="hub").HfApi()
