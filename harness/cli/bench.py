"""`harness bench`: seconds, memory and achieved rate of a training step."""

from pathlib import Path

import click

BACKBONES = ("vse_infinity", "saf", "sgr")


@click.command()
@click.option(
    "--backbone", "backbones", type=click.Choice(BACKBONES), multiple=True,
    help="Measure this backbone. May be repeated.  [default: all three]",
)  # fmt: skip
@click.option("--method", default=None, help="Any method that trains.  [default: infonce]")
@click.option("--batch-size", type=click.IntRange(2), help="Pairs per step.  [default: 128]")
@click.option("--regions", type=click.IntRange(1), help="Regions per image.  [default: 36]")
@click.option(
    "--drop-regions", "region_rate", type=click.FloatRange(0, 1, max_open=True),
    help="Share of regions that the timed batch has lost; 0.2 is what a batch of training loses by augmentation. "
    "The model's GFLOP count all regions.  [default: 0]",
)  # fmt: skip
@click.option("--images", type=click.IntRange(1), help="Images in the feature file.  [default: 2000]")
@click.option("--steps", type=click.IntRange(1), default=5, show_default=True, help="How many steps are timed.")
@click.option(
    "--warmup",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    help="How many steps are taken before the timed ones.",
)
@click.option("--recompute", is_flag=True, help="SAF and SGR: compute again in the backward pass, to save memory.")
@click.option("--small", is_flag=True, help="Use small sizes, to try the command in seconds.")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option(
    "--precision", type=click.Choice(["float32", "tf32", "bf16"]), default="float32", show_default=True,
    help="Number format of the forward pass and of the matmul rate.",
)  # fmt: skip
@click.option("--compile/--no-compile", "compile_", default=False, help="Use torch.compile.")
@click.option("--cuda-graphs", is_flag=True, help="With --compile on CUDA, replay the compiled parts as CUDA graphs.")
@click.option(
    "--profile", "operations", type=click.IntRange(0), default=10, show_default=True,
    help="How many of the largest operations of a step are printed; 0 for none.",
)  # fmt: skip
@click.option(
    "--save", "save_to", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures to this JSON file."
)  # fmt: skip
@click.option(
    "--against", type=click.Path(path_type=Path, dir_okay=False),
    help="A file that --save wrote at another commit: print the ratios to it.",
)  # fmt: skip
def command(
    backbones: tuple[str, ...], method: str | None, batch_size: int | None, regions: int | None,
    region_rate: float | None, images: int | None, steps: int, warmup: int, recompute: bool, small: bool, device: str,
    precision: str, compile_: bool, cuda_graphs: bool, operations: int, save_to: Path | None, against: Path | None,
) -> None:  # fmt: skip
    """Time a training step at the paper's sizes.

    A step has 128 pairs, 36 regions of 2,048 numbers, 1,024-d embeddings and 8,500 words. Each backbone trains in a
    process of its own, in the trainer's loop, and a thread reads its batches from a sparse file. The rate of a square
    matrix product is measured before and after. Compare machines by seconds x matmul rate.
    """
    from dataclasses import replace
    from typing import Any, cast

    from harness.bench import PAPER, SMALL, Plan, bench
    from harness.bench.run import load, save
    from harness.bench.table import conditions, figures, markdown, profile, warnings
    from harness.errors import HarnessError
    from harness.training.machine import Machine, Precision

    given: dict[str, Any] = {
        "method": method, "batch_size": batch_size, "regions": regions, "images": images, "region_rate": region_rate,
    }  # fmt: skip
    sizes = replace(SMALL if small else PAPER, **{key: value for key, value in given.items() if value is not None})
    before = load(against, sizes) if against else None  # first, so that a file that does not fit ends it at once
    if save_to and not save_to.absolute().parent.is_dir():
        raise HarnessError(f"--save {save_to}: {save_to.parent} is no folder; make it first")
    machine = Machine(device, cast(Precision, precision), compile_, cuda_graphs=cuda_graphs)
    plans = [
        Plan(name, sizes, steps, warmup, recompute, operations, machine)
        for name in dict.fromkeys(backbones or BACKBONES)
    ]
    measured = bench(plans, report=lambda name: click.echo(f"measuring {name} ...", err=True))
    if save_to:
        save(save_to, sizes, measured)
    first = next(iter(measured.values()))
    print(f"{steps} steps of {sizes.batch_size} pairs, {sizes.method}; {conditions(first)}")
    if before:
        print(f"ratios: to {against}, {conditions(next(iter(before.values())))}")
    print()
    print(markdown(figures(measured, sizes, before)))
    for name, one in measured.items():
        if one.operations:
            print(f"\nLargest operations of a step of {name}:\n\n{markdown(profile(one))}")
    for warning in warnings(measured):
        print(f"\nwarning: {warning}")
    if save_to:
        print(f"\nwritten: {save_to}")
