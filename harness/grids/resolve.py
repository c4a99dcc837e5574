"""A run's nested table, as a spec file gives it, into a checked `RunSpec`."""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from harness.backbones.pretrained import folder_sha256
from harness.data.cards import CARDS
from harness.errors import HarnessError, suggest
from harness.evaluation.protocols import PROTOCOLS
from harness.files import file_sha256
from harness.spec import KINDS, Component, RunSpec, build, resolve
from harness.spec.explain import explain

_ACCEPTED = {
    "dataset": 'the name of a data set, dataset = "twemoji"; `harness list` shows those that are known',
    "noise": 'noise = "none", or of wrong pairs made on purpose noise = { name = "caption_level", rate = 0.4 }',
    "backbone": 'the name of a network, backbone = "vse_infinity"; `harness list` shows all',
    "method": 'the name of a method, method = "crcl"; `harness list` shows all',
}

# What a component may name that lies outside the spec: its keyword, and the digest that pins its content.
PINS: dict[str, tuple[str, Callable[[str], str]]] = {
    "noise": ("path", file_sha256),
    "backbone": ("model", folder_sha256),
    "method": ("estimator", file_sha256),
}


def resolve_run(table: dict[str, Any], where: str) -> RunSpec:
    """A checked run.

    Args:
        table: the `[run]` table of a grid with one cell's values laid over it.
        where: the file and cell, for messages.

    Raises:
        HarnessError: one line with every fault of the first faulty part.
    """
    unknown = [key for key in table if key not in RunSpec.model_fields]
    if unknown:
        raise HarnessError(f"{where}: {unknown[0]}: unknown key; {suggest(unknown[0], RunSpec.model_fields)}")
    card = CARDS.get(table.get("dataset", ""))
    if "noise" not in table and "dataset" in table and (card is None or card.noise == "real"):
        table = {**table, "noise": "none"}  # one's own data as they are; a benchmark's noise is the experiment
    missing = [key for key in ("dataset", *KINDS) if key not in table]
    if missing:
        raise HarnessError(f"{where}: {missing[0]}: is missing; accepted: {_ACCEPTED[missing[0]]}")
    components = {kind: resolve(table[kind], kind=kind, where=where) for kind in KINDS}
    components = {kind: _pinned(component, *PINS[kind]) for kind, component in components.items()}
    try:
        run = RunSpec(**{**table, **components})
    except ValidationError as error:
        raise HarnessError(explain(error, where=where, accepted=_accepted(error))) from None
    for protocol in run.evaluation.protocols or ():
        if protocol not in PROTOCOLS:
            raise HarnessError(f"{where}: evaluation.protocols: {protocol!r}; {suggest(protocol, PROTOCOLS)}")
    if run.augmentation is not None and run.backbone.cls.reads_pixels:
        raise HarnessError(
            f"{where}: augmentation: touches words and regions, but backbone {run.backbone.name} reads pictures and "
            "tokens of its own; accepted: none; remove augmentation"
        )
    if card is not None:
        card.refuse_noise(run, where)
    try:
        method = build(run.method)
        method.phases(run.schedule.epochs, steps_per_epoch=1_000_000)
        build(run.noise)
        misfit = method.fits(run.backbone.cls, run)
    except HarnessError as error:
        raise HarnessError(f"{where}: {error}") from None
    if misfit:
        raise HarnessError(
            f"{where}: method {run.method.name} cannot train backbone {run.backbone.name}: {misfit}; "
            f"accepted: another backbone or method; `harness list {run.method.name}` describes the method"
        )
    return run


def _pinned(component: Component, place: str, digest: Callable[[str], str]) -> Component:
    """A file or folder by its content: the digest of what lies at its place, where the spec names none."""
    parameters = component.parameters
    if "sha256" not in parameters or parameters["sha256"] or not parameters.get(place):
        return component
    pinned = {**parameters, "sha256": digest(parameters[place])}
    return component.model_copy(update={"parameters": pinned})


def _accepted(error: ValidationError) -> list[str]:
    """The keys of the part that the first fault lies in."""
    first = error.errors()[0]["loc"][0]
    annotation = RunSpec.model_fields[str(first)].annotation
    parts = [annotation, *getattr(annotation, "__args__", ())]
    return next((list(part.model_fields) for part in parts if hasattr(part, "model_fields")), [])
