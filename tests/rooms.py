"""The rooms of the package and the arrows between them: one list for the tests and for docs/architecture.md.

`python tests/rooms.py` writes the tables of that page anew.
"""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"

# Level by level, from the top. A room may import every room below its level; of its own level and above none, but where
# REASONS names it.
LEVELS: list[dict[str, str]] = [
    {"cli": "One module for each verb of the command line, imported when the verb is called."},
    {"clean": "Takes the wrong pairs out of one's own pictures and captions."},
    {"api": "The functions of `import harness`, which the verbs that train call too."},
    {
        "search": "Searches hyperparameters on dev; a trial is a cell of the ledger.",
        "audit": "Ranks the training pairs of a finished run and shows the ones that look wrong.",
        "bench": "Measures time, memory and FLOPs of a training step.",
        "sharing": "Runs and results that leave the house: exported runs, the files of results, the leaderboard.",
        "testing": "The tests that every method must pass, for methods of other packages too.",
    },
    {
        "launch": "Starts a worker for each cell, here, in Slurm or in Ray, and brings all of them to their end.",
        "reporting": "Makes tables, figures and pages from finished runs.",
        "parity": "Compares our numbers with golden values of the official implementations.",
    },
    {
        "training": "The one trainer: phases, epochs, rounds and steps; checkpoints and exact resume.",
        "tracking": "Mirrors the ledger in MLflow, and in TensorBoard or Weights & Biases.",
        "grids": "Reads a declared grid, checks it and expands it into cells.",
        "losses": "The methods' losses as functions, for a loop of one's own.",
    },
    {
        "methods": "What happens in a step: the loss, and what is kept for each training pair.",
        "backbones": "Networks that score images against texts.",
        "noise": "Which image each training caption is paired with, and which captions are damaged.",
        "data": "The field's feature layout, captions as word numbers, batches, and the building of data sets.",
        "evaluation": "Score matrices, recalls, protocols, the bootstrap, and the quality of the labels.",
        "ledger": "A folder for each run, and the claim that says who works on it.",
        "theory": "The paper's robustness claims as formulas, and their trial by simulation.",
    },
    {"spec": "What one run is: typed, checked and fingerprinted. Knows components by name and imports no torch."},
    {"kept": "What is read off the code, kept from one command to the next, so that most verbs need no torch."},
    {
        "seeds": "A seed is a hash of what it is for.",
        "files": "Writes a file wholly or not at all.",
        "extras": "Packages that only some verbs need, and what installs them.",
        "distributed": "What several training processes exchange.",
        "printing": "The one model of a table, its formats, and the kit that every page is made of.",
    },
    {
        "errors": "The one exception for what a user can mend.",
        "uris": "Addresses of stores as they may be shown: without passwords.",
        "compiling": "What torch.compile leaves alone.",
        "memory": "Memory that is freed stays with the process.",
    },
]
REASONS = {
    ("evaluation", "backbones"): "scoring encodes and compares with a backbone",
    ("evaluation", "data"): "scoring reads a split",
}
# Large packages, and the rooms that alone may import them. Tables that leave the house are those of pandas.
OWNERS = {
    "mlflow": "tracking", "optuna": "search", "matplotlib": "reporting", "pandas": "reporting api",
    "transformers": "data backbones", "tensorboard": "tracking",
    "wandb": "tracking", "optuna_dashboard": "search", "ray": "launch", "submitit": "launch", "nltk": "data",
}  # fmt: skip


def level_of(room: str) -> int:
    """0 is the top."""
    return next(number for number, rooms in enumerate(LEVELS) if room in rooms)


def tables() -> str:
    """What stands in docs/architecture.md between the two marks."""
    rooms = ["| Level | Room | What it does |", "|--:|:--|:--|"]
    for number, level in enumerate(LEVELS, start=1):
        rooms += [f"| {number} | `{room}` | {sentence} |" for room, sentence in level.items()]
    sideways = [f"- `{room}` imports `{other}`: {reason}." for (room, other), reason in REASONS.items()]
    owned = ["| Package | Room |", "|:--|:--|"]
    for package, owners in OWNERS.items():
        owned.append(f"| {package} | " + ", ".join(f"`{owner}`" for owner in owners.split()) + " |")
    lines = [*rooms, "", "Arrows within a level, each with its reason:", "", *sideways, ""]
    return "\n".join([*lines, "A large package is imported by these rooms alone:", "", *owned])


def page(text: str) -> str:
    """The text of docs/architecture.md with the tables of today."""
    marks = re.compile(r"(<!-- rooms -->\n).*(<!-- end of rooms -->)", flags=re.DOTALL)
    return marks.sub(lambda found: f"{found[1]}\n{tables()}\n\n{found[2]}", text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
