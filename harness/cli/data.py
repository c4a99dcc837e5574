"""`harness data`: build a dataset folder, check one, import a checkpoint. Each verb imports what it needs."""

from dataclasses import replace
from pathlib import Path

import click

from harness.cli import options
from harness.errors import HarnessError
from harness.printing.numbers import count


@click.group("data", help="Build and check data sets, import checkpoints.")
def command() -> None:
    pass


@command.command("build")
@click.argument("name", required=False, metavar="[twemoji|speech|stamps|clipart|clips]")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="A folder, zip archive or tar of pictures; not needed where the captions bring them.",
)
@click.option(
    "--captions",
    type=click.Path(path_type=Path),
    help="A table (CSV, TSV) with columns such as image and caption, split if there is one; or Flickr's captions.txt, "
    "*.token or results.csv, Karpathy's or COCO's JSON, metadata.jsonl, name.txt beside name.jpg, webdataset, parquet, "
    "a Hugging Face dataset.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The folder to make, best in the data folder: data/NAME.")
@click.option(
    "--encoder",
    help="efficientnet-lite0 (the default), or a transformers vision model by hub name or local folder.",
)
@click.option("--regions", type=int, help="Regions of an image, a square number.  [default: 36; twemoji: 16]")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    help="Number format of the feature files.  [default: float32; twemoji: float16]",
)
@click.option(
    "--pixels",
    type=click.IntRange(min=8),
    metavar="SIZE",
    help="Keep the pictures too, as squares of SIZE pixels, for CLIP (ViT-B/32: 224).  [default: none; twemoji: 64]",
)
@click.option("--captions-per-image", type=click.IntRange(min=1), help="Take the first N captions of each image.")
@click.option(
    "--test-from",
    type=click.Choice(["dev"]),
    default="dev",
    show_default=True,
    help="The split that is used as test too if the table has no test rows.",
)
@click.option(
    "--licence", default="not stated", show_default=True, help="Licence of the pictures, for the card of the data set."
)
@click.option(
    "--benchmark", is_flag=True,
    help="The pairs count as right, so that noise may be put among them. Without it they are as they were found.",
)  # fmt: skip
@click.option(
    "--tokenizer", default="words", show_default=True,
    help="words; characters, for languages without spaces; ids; or a transformers tokenizer by hub name or folder.",
)  # fmt: skip
@click.option(
    "--recordings", type=click.Path(path_type=Path),
    help="The captions are names of recordings (WAV, FLAC, OGG) in this folder, zip archive or tar.",
)  # fmt: skip
@click.option(
    "--frame-ms", type=click.IntRange(10, 1000), default=120, show_default=True,
    help="Milliseconds of a recording that one vector holds; in tens.",
)  # fmt: skip
@click.option("--skip-unreadable", is_flag=True, help="Leave out pictures that are missing or damaged, and say which.")
@click.option("--batch-size", type=click.IntRange(min=1), help="How many pictures are encoded at once.  [default: 16]")
@click.option("--device", help="auto, cpu, cuda or mps.  [default: auto; twemoji: cpu]")
@click.option("--overwrite", is_flag=True, help="Replace a finished build, or an unfinished one with other settings.")
@options.data
def build(
    name: str | None,
    images: Path | None,
    captions: Path | None,
    out: Path | None,
    captions_per_image: int | None,
    test_from: str,
    licence: str,
    benchmark: bool,
    tokenizer: str,
    recordings: Path | None,
    frame_ms: int,
    skip_unreadable: bool,
    overwrite: bool,
    data: Path,
    **recipe: str | int | None,
) -> None:
    """Build a data set from your own pictures and captions, or an embedded one: twemoji; speech, the same names spoken
    by espeak-ng; stamps, Tux Paint's pictures with their recorded descriptions; clipart, drawings with their authors'
    titles, wrong ones among them; clips, videos of emoji that move.

    If a build was interrupted, run the same command again to continue it.
    """
    from harness.data.build import (
        Recipe,
        build_clipart,
        build_clips,
        build_dataset,
        build_speech,
        build_stamps,
        build_twemoji,
    )
    from harness.data.build.twemoji import RECIPE

    given = {name: value for name, value in recipe.items() if value is not None}
    sources = {"--images": images, "--captions": captions, "--out": out}
    made = {"speech": build_speech, "stamps": build_stamps, "clipart": build_clipart, "clips": build_clips}
    if name is not None:
        if name not in ("twemoji", *made):
            raise HarnessError(
                f"data build {name}: unknown; accepted: {', '.join(('twemoji', *made))}; or --images, --captions, --out"
            )
        own = {f"--{option.replace('_', '-')}": value for option, value in given.items()} if name in made else {}
        options_given = sources | {"--recordings": recordings} | own
        if refused := [option for option, value in options_given.items() if value is not None]:
            raise HarnessError(
                f"data build {name}: does not take {', '.join(refused)}; it is built in --data, here {data}"
            )
        if name in made:
            made[name](data, overwrite=overwrite, say=click.echo)
            return
        build_twemoji(data, replace(RECIPE, **given), overwrite=overwrite, say=click.echo)  # type: ignore[arg-type]
        return
    if captions is None or out is None:
        absent = ", ".join(option for option, value in sources.items() if value is None)
        raise HarnessError(
            f"data build: {absent} missing; accepted: --images DIR|ZIP --captions FILE.csv --out DIR, or "
            "`harness data build twemoji`"
        )
    build_dataset(
        images,
        captions,
        out,
        Recipe(**given),  # type: ignore[arg-type]
        captions_per_image=captions_per_image,
        test_from=test_from,
        licence=licence,
        benchmark=benchmark,
        tokenizer=tokenizer,
        recordings=recordings,
        frame_ms=frame_ms,
        skip_unreadable=skip_unreadable,
        overwrite=overwrite,
        say=click.echo,
    )


@command.command("check")
@click.argument("name")
@click.option(
    "--noise-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A noise index (.npy): check that it fits the data set.",
)
@options.data
def check(name: str, noise_file: Path | None, data: Path) -> None:
    """Check the data set NAME: counts, shapes, finite values, duplicates, captions and words.

    Exit status 1 if there is an error.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from harness.data.check import check_dataset
    from harness.evaluation import protocols

    findings = check_dataset(name, data, noise_file, fit=protocols.fit)
    table = Table(title=f"{name} in {data}", title_justify="left", box=None, pad_edge=False)
    for heading in ("level", "check", "finding"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        colour = {"error": "red", "warning": "yellow"}.get(finding.level)
        table.add_row(finding.level, finding.name, Text(finding.text), style=colour)
    Console().print(table)
    errors = sum(finding.level == "error" for finding in findings)
    click.echo(f"{name}: {count(errors, 'error') if errors else 'no errors'} in {count(len(findings), 'finding')}")
    if errors:
        raise SystemExit(1)


@command.command("import-checkpoint")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The .safetensors file to write."
)
def import_official(file: Path, out: Path) -> None:
    """Convert an official checkpoint (model_best.pth.tar) to safetensors. Its pickled code is not run."""
    from harness.backbones.official import import_checkpoint

    for key, value in import_checkpoint(file, out).items():
        click.echo(f"{key}: {value}")
