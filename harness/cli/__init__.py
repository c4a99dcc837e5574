"""One module per verb, loaded when it is called: `harness --help` imports none of them."""

import gc
import importlib
import os
import sys

import click
from click.shell_completion import CompletionItem

from harness import __version__
from harness.errors import HarnessError, explain

VERBS = {
    "list": "List what a spec may name; `list crcl` shows the hyperparameters of CRCL.",
    "check": "Validate a grid, list its cells, estimate its cost.",
    "run": "Train a grid: skip finished cells, continue killed ones.",
    "train": "Train one run that is described on the command line, without a file.",
    "sweep": "Search hyperparameters on dev, and score the winner on test once.",
    "status": "Show which cells of a grid are done, running, failed or waiting.",
    "report": "Print tables and figures of finished runs, with the published numbers beside ours.",
    "compare": "Compare two runs: settings, curves, and the queries that each of them wins.",
    "audit": "Rank the training pairs of a run by their label, and show the likely wrong ones with pictures.",
    "clean": "Find the wrong pairs among your own pictures and captions, and write your file without them.",
    "theory": "Test the paper's robustness claims: bounds against simulation.",
    "diagnose": "Say in words what went wrong in a run, with the figures behind it.",
    "ensemble": "Score the mean similarity of finished runs (SGRAF = SAF + SGR).",
    "evaluate": "Score a run, an exported run or a network file on a data set.",
    "export": "Write a finished run to a folder that needs no other, with a model card.",
    "import": "Take an exported run into the ledger.",
    "results": "Collect figures into a file to commit, and render the leaderboard of all such files.",
    "data": "Build and check data sets, import checkpoints.",
    "bench": "Time a training step at the paper's sizes: seconds, memory, achieved rate, profile.",
    "verify": "Compare our numbers with golden values of the official implementations.",
    "sync": "Bring MLflow, and TensorBoard or W&B, up to date with the cell folders.",
    "ui": "Open the MLflow pages of all runs, or Optuna's on a sweep.",
    "cell": "Train one cell. The launchers call this verb.",
    "completion": "Print the script by which a shell completes verbs, options and names.",
}


class _Lazy(click.Group):
    """A group that knows its verbs and their one-line help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module = importlib.import_module(f"harness.cli.{name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from harness.errors import suggest

        if args and not args[0].startswith("-") and args[0] not in VERBS:
            raise HarnessError(f"harness {args[0]}: no such verb; {suggest(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The verbs, none imported."""
        verbs = [CompletionItem(verb, help=words) for verb, words in VERBS.items() if verb.startswith(incomplete)]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="harness")
def group() -> None:
    """CRCL Harness: reproduce, compare and extend methods for noisy correspondence in image-text matching.

    Start with `harness list`, then `harness check demo` and `harness run demo`.
    """


def main() -> None:
    """The console script. Bad input gives one line and exit status 2, and no traceback."""
    try:
        status = group(standalone_mode=False)
        gc.freeze()  # or the interpreter's last collection walks through all of torch: a quarter of a second
        sys.exit(status if isinstance(status, int) else 0)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None or isinstance(error, BrokenPipeError):
            raise
        print(f"error: {explain(error)}", file=sys.stderr)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        print("interrupted; run the same command again to continue", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `harness list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
