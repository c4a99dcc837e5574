"""`sweeps/*.toml`: what is declared is real, and what is wrong with a declaration is said in one line."""

from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.grids import declarations, find, load_grid, name_of
from harness.methods import METHODS
from harness.search import TrialRow, load_sweep
from harness.search.outcome import best_toml
from harness.search.records import read_trials, winner, write_trials
from harness.search.space import Choices, Range
from harness.spec import build, fingerprint

BASE = """
title = "toy"
trials = 4
{top}
[run]
dataset = "toy"
noise = {{ name = "caption_level", rate = 0.4 }}
backbone = {{ name = "vse_infinity", embed_dim = 16, word_dim = 8 }}
method = {{ name = "crcl", pieces = [1, 1], freeze_epochs = 0 }}
[space]
{space}
"""
BETA = '"method.beta" = { low = 0.0, high = 0.99 }'


def write(folder: Path, space: str = BETA, top: str = "", rest: str = "") -> Path:
    path = folder / "toy.toml"
    path.write_text(BASE.format(top=top, space=space) + rest)
    return path


FAIR = sorted(name for name in declarations("sweeps") if name.startswith("fair/"))


@pytest.mark.parametrize("smoke", [False, True])
@pytest.mark.parametrize("name", sorted(declarations("sweeps")))
def test_every_declared_sweep_is_real_and_leaves_test_alone(name: str, smoke: bool) -> None:
    sweep = load_sweep(name, smoke=smoke)
    run = sweep.run(sweep.paper)
    assert run.evaluation.protocols == []
    assert run.dataset == "twemoji"
    assert sweep.name == name.replace("/", "-") + ("-smoke" if smoke else "")
    assert sweep.trials == (3 if smoke else {"crcl": 40}.get(name, 12))
    if name in ("momentum", "crcl"):
        assert sweep.paper["method.beta"] == 0.8


def test_the_fair_sweeps_ask_the_same_of_every_method() -> None:
    """The same pairs, network, batch and number of trials; each its own space."""
    sweeps = [load_sweep(name) for name in FAIR]
    assert [sweep.base["method"]["name"] for sweep in sweeps] == [name.removeprefix("fair/") for name in FAIR]
    assert set(METHODS) - {"sum_hinge", "zero_shot"} == {name.removeprefix("fair/") for name in FAIR}
    for what in ("dataset", "noise", "backbone"):
        assert len({str(sweep.base[what]) for sweep in sweeps}) == 1
    assert {(sweep.trials, sweep.sampler, tuple(sweep.seeds)) for sweep in sweeps} == {(12, "tpe", (0, 1, 2))}
    for sweep in sweeps:
        run = sweep.run(sweep.paper)
        epochs = sum(phase.epochs for phase in build(run.method).phases(run.schedule.epochs, 115))
        assert epochs == 6, sweep.name
        for key, parameter in sweep.space.items():
            if key.endswith("warmup_epochs, schedule.epochs"):
                assert {sum(choice) for choice in parameter.probes()} == {6}, sweep.name
        assert "schedule.lr" in sweep.space


def test_a_declaration_in_a_folder_of_a_room_has_a_name_of_its_own(
    tmp_path: Path,
) -> None:
    crcl = find("fair/crcl", "sweeps")
    assert crcl == find("fair-crcl", "sweeps") == find("sweeps/fair/crcl.toml", "sweeps")
    assert name_of(crcl, "sweeps") == "fair-crcl"
    assert name_of(find("crcl", "sweeps"), "sweeps") == "crcl"
    assert name_of(tmp_path / "crcl.toml", "sweeps") == "crcl"
    with pytest.raises(HarnessError, match=r"^fair/crlc: there is no such file in sweeps/; did you mean 'fair/crcl'"):
        find("fair/crlc", "sweeps")


@pytest.mark.parametrize(
    ("top", "space", "says"),
    [
        ("", '"method.betta" = { low = 0.0, high = 1.0 }', "method.betta: unknown key; did you mean 'beta'?"),
        ("", '"augmentation.token_rate" = { low = 0.0, high = 1.0 }', "paper: the run says nothing of aug"),
        ("", '"method.beta" = { low = 0.0, high = 1.7 }', "method.beta = 1.7: accepted: 1 or less"),
        ("", '"method.tau" = { low = 0.0, high = 1.0 }', "method.tau = 0.0: accepted: more than 0"),
        ("", '"method.beta" = { low = 0.9, high = 0.1 }', "low must be less than high"),
        ("", '"method.beta" = { low = 0.0, high = 1.0, log = true }', "log needs low > 0"),
        ("", '"method.beta" = { low = 0.1, high = 1.0, step = 0.1, log = true }', "log and step exclude each other"),
        ("", '"method.beta" = { low = 0.0, high = 0.99, step = 0.2 }', "high must be a whole number of steps from low"),
        ("", '"method.beta" = { low = 0.0, high = nan }', "high = nan: accepted: a finite number"),
        ("", '"method.beta" = { low = 0.0 }', '"method.beta": high: is missing'),
        ("", '"method.beta" = { low = 0.0, hihg = 0.5 }', "did you mean 'high'?"),
        ("", '"method.beta" = { low = 0.0, high = 0.5 }', "(what the run has): method.beta = 0.8 is outside of 0"),
        ("", '"method.beta" = { choices = [0.8, 0.8] }', "0.8 is there twice; drop one"),
        ("", '"method.pieces" = { choices = [[1, 1], [0, 1]] }', "method.pieces.0 = 0"),
        ("", '"method.beta, schedule.lr" = { low = 0.0, high = 1.0 }', "keys that go together have no range"),
        ("", '"method.beta, schedule.lr" = { choices = [[0.8, 1e-3], [0.8]] }', "[0.8]; accepted: choices ="),
        ("", '"method.beta, schedule.lr" = { choices = [0.8, 0.9] }', "0.8; accepted: choices = [[...], ...]"),
        ("", '"method.beta, schedule.lrr" = { choices = [[0.8, 1], [0.8, 2]] }', "schedule.lrr: unknown key; did you"),
        ("", '"method.beta, seed" = { choices = [[0.8, 1], [0.8, 2]] }', "'seed' is not searched"),
        ("", BETA + '\n"schedule.lr, method.beta" = { choices = [[0.1, 0.8], [0.2, 0.8]] }', "; drop one"),
        ("", '"method.beta, method.tau" = { choices = [[0.8, 0.05], [0.8, 0.0]] }', "method.tau = 0.0: accepted: more"),
        ("", '"schedule.batch_size" = { low = 16.0, high = 256.0 }', "accepted: a whole number"),
        ("", '"noise.rate" = { low = 0.0, high = 0.5 }', "'noise.rate' is not searched"),
        ("", 'seed = { choices = [0, 1] }', "'seed' is not searched"),
        ("", '"evaluation.protocols" = { choices = [["full"], []] }', "'evaluation.protocols' is not searched"),
        ('sampler = "grid"', BETA, 'the sampler "grid" needs a step or choices'),
        ('sampler = "cmaes"', BETA, "sampler = 'cmaes': accepted: 'tpe', 'random', 'grid' or 'gp'"),
        ('pruner = "hyper"', BETA, "pruner.name = 'hyper'"),
        ('objective = "test/rsum"', BETA, "objective = 'test/rsum'"),
        ('direction = "min"', BETA, 'direction: a higher dev/rsum is better; write direction = "max"'),
        ('paper = { "method.tau" = 0.05 }', BETA, "'method.tau' is not in the space; did you mean 'method.beta'?"),
        ('paper = { "method.beta" = 1.5 }', BETA, "paper: method.beta = 1.5 is outside of 0 to 0.99"),
        ("budget = 3", BETA, "budget = 3: unknown key"),
        ("", "", "space = {}"),
    ],
)  # fmt: skip
def test_a_bad_spec_is_one_line(tmp_path: Path, top: str, space: str, says: str) -> None:
    path = write(tmp_path, space, top)
    with pytest.raises(HarnessError) as error:
        load_sweep(path)
    assert says in str(error.value)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(HarnessError, match="did you mean 'momentum'"):
        load_sweep("momentun")


def test_smoke_lays_its_settings_over_the_rest(tmp_path: Path) -> None:
    space = '"method.beta" = { low = 0.0, high = 0.99 }\n"method.pieces" = { choices = [[1, 1], [2]] }'
    smoke = (
        '\n[smoke]\nrun = { backbone = { embed_dim = 8 } }\nspace = { "method.pieces" = { choices = [[1], [2]] } }\n'
    )
    path = write(tmp_path, space, rest=smoke + 'paper = { "method.pieces" = [1] }\ntrials = 2')
    sweep = load_sweep(path, smoke=True)
    assert (sweep.name, sweep.trials) == ("toy-smoke", 2)
    assert sweep.run(sweep.paper).backbone.parameters["embed_dim"] == 8
    assert sweep.paper["method.pieces"] == [1]
    assert load_sweep(path).paper["method.pieces"] == [1, 1]
    assert load_sweep(path, trials=9).trials == 9


def test_the_digest_is_of_what_the_trials_depend_on(tmp_path: Path) -> None:
    digest = load_sweep(write(tmp_path)).digest()
    for top in ("seed = 1", 'sampler = "random"', 'pruner = "median"', 'paper = { "method.beta" = 0.7 }'):
        assert load_sweep(write(tmp_path, top=top)).digest() != digest
    same = write(tmp_path, top='claim = "another"', rest="\n[confirm]\nseeds = [5]")
    assert load_sweep(same, trials=99).digest() == digest


def test_points_and_values() -> None:
    assert Range(low=0.0, high=0.3, step=0.1).points() == [0.0, 0.1, 0.2, 0.3]
    assert Range(low=1, high=7, step=3).points() == [1, 4, 7]
    assert Range(low=0.0, high=0.3).points() is None
    assert Range(low=0.0, high=0.3, step=0.1).value(0.1 + 0.2) == 0.3
    assert not Range(low=1.0, high=7).integer
    with pytest.raises(HarnessError, match=r"2 is outside of 1 to 7 in steps of 3"):
        Range(low=1, high=7, step=3).point(2)
    pieces = Choices(choices=[[7, 32], [7, 7, 32]])
    assert pieces.points() == ["7-32", "7-7-32"]
    assert pieces.value("7-7-32") == [7, 7, 32]
    assert pieces.point([7, 32]) == "7-32"


def test_keys_that_go_together_move_together(tmp_path: Path) -> None:
    space = '"method.beta, schedule.lr" = { choices = [[0.8, 5e-4], [0.5, 1e-3]] }'
    sweep = load_sweep(write(tmp_path, space, rest="\n[confirm]\nseeds = [3]"))
    (key,) = sweep.paper
    assert sweep.paper == {key: [0.8, 5e-4]}  # what the run has
    other = sweep.values({key: "0.5-0.001"})
    run = sweep.run(other)
    assert (run.method.parameters["beta"], run.schedule.lr) == (0.5, 1e-3)
    path = tmp_path / "best.toml"
    path.write_text(best_toml(sweep, TrialRow(1, "COMPLETE", 1.0, sweep.points(other), "", None, ""), other))
    assert [(cell.run.method.parameters["beta"], cell.run.schedule.lr) for cell in load_grid(path).cells] == [
        (0.5, 1e-3),
        (0.8, 5e-4),
    ]


def test_trials_read_back_as_they_were_written(tmp_path: Path) -> None:
    space = {
        "method.beta": {"low": 0.0, "high": 1.0},
        "method.pieces": {"choices": [[7, 32], [7, 7, 32]]},
        "schedule.batch_size": {"choices": [64, 128]},
        "method.momentum": {"choices": [True, False]},
        "method.freeze_epochs": {"low": 0, "high": 3},
    }
    tried = [
        {"method.beta": 0.1 + 0.2, "method.pieces": "7-7-32", "schedule.batch_size": 64, "method.momentum": True,
         "method.freeze_epochs": 2},
        {"method.beta": 1e-5, "method.pieces": "7-32", "schedule.batch_size": 128, "method.momentum": False,
         "method.freeze_epochs": 0},
    ]  # fmt: skip
    rows = [
        TrialRow(0, "COMPLETE", 401.5, tried[0], "a" * 16, 3.25, "here"),
        TrialRow(1, "FAIL", None, tried[1], "b" * 16, None, "there, or not"),
    ]
    write_trials(tmp_path / "trials.csv", list(space), rows)
    again = read_trials(tmp_path / "trials.csv", space)
    assert again == rows
    assert [type(v) for v in again[0].parameters.values()] == [type(v) for v in tried[0].values()]
    head = (tmp_path / "trials.csv").read_text().splitlines()[0]
    assert head == "number,state,value," + ",".join(space) + ",fingerprint,seconds,host"


def test_the_winner_is_the_first_of_the_best_that_finished() -> None:
    def row(number: int, state: str, value: float | None) -> TrialRow:
        return TrialRow(number, state, value, {}, "", None, "")

    rows = [row(0, "COMPLETE", 3.0), row(1, "COMPLETE", 5.0), row(2, "COMPLETE", 5.0), row(3, "PRUNED", 9.0)]
    best, least = winner(rows, "max"), winner(rows, "min")
    assert best is not None
    assert least is not None
    assert (best.number, least.number) == (1, 0)
    assert winner([row(0, "FAIL", None)], "max") is None


def test_best_toml_is_a_grid_of_the_winner_and_the_paper(tmp_path: Path) -> None:
    space = '"method.beta" = { low = 0.0, high = 0.99 }\n"method.pieces" = { choices = [[1, 1], [2]] }'
    sweep = load_sweep(write(tmp_path, space, rest="\n[confirm]\nseeds = [3, 4]"))
    values = {"method.beta": 0.25, "method.pieces": [2]}
    best = TrialRow(2, "COMPLETE", 300.0, sweep.points(values), "f" * 16, 1.0, "here")
    path = tmp_path / "best.toml"
    path.write_text(best_toml(sweep, best, values))
    grid = load_grid(path)
    assert grid.axes == {"seed": [3, 4], "setting": ["best", "paper"]}
    for cell in grid.cells:
        meant = values if cell.place["setting"] == "best" else sweep.paper
        update = {"seed": cell.place["seed"], "evaluation": cell.run.evaluation}
        assert cell.fingerprint == fingerprint(sweep.run(meant).model_copy(update=update))
        assert cell.run.evaluation.protocols is None  # the confirmation scores test

    path.write_text(best_toml(sweep, TrialRow(0, "COMPLETE", 1.0, {}, "", None, ""), sweep.paper))
    assert load_grid(path).axes == {"seed": [3, 4], "setting": ["paper"]}
    assert "nothing that was tried is better" in path.read_text()
