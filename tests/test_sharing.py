"""A run exported, opened, scored and imported: the same figures to the last bit; what is damaged is refused."""

import re
import shutil
import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from click.testing import CliRunner
from killed import killed_at
from toy import CRCL, finished

import harness
from harness.cli import group
from harness.errors import HarnessError
from harness.files import file_sha256, read_json, whole_folder, write_json
from harness.ledger import Cell, Ledger
from harness.ledger.seal import sealed
from harness.sharing import folder as form
from harness.sharing.card import licence_id
from harness.sharing.export import export_run
from harness.sharing.importing import import_run


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Cell:
    return finished(tmp_path_factory.mktemp("trained"), CRCL, toy_data)


@pytest.fixture(scope="module")
def exported(cell: Cell, toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(cell, toy_data, tmp_path_factory.mktemp("out") / "toy-crcl")


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "elsewhere" / "any name"))


def contents(folder: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in folder.iterdir()}


def run(*arguments: object) -> Any:
    """A verb in this process; its HarnessError, if any, as the one line that the command line prints."""
    done = CliRunner().invoke(group, [str(argument) for argument in arguments])
    if isinstance(done.exception, HarnessError):
        return SimpleNamespace(exit_code=2, output=f"error: {done.exception}\n")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


# -- the round trip ------------------------------------------------------------------------------------------------


def test_an_exported_run_needs_no_other_folder(cell: Cell, copied: Path, toy_data: Path) -> None:
    opened = harness.open(copied, data=toy_data)
    assert opened.fingerprint == cell.fingerprint
    assert opened.state == "done"
    assert opened.result == cell.result()
    assert opened.evaluate(device="cpu") == opened.result["test"]
    assert np.array_equal(opened.labels(), np.load(cell.path("labels.npy")))
    assert len(opened.curves()) == len(cell.rows()) > 0
    assert opened.pairs()["clean"].mean() == pytest.approx(1 - opened.result["noise"]["realised_rate"])


def test_an_imported_run_is_the_run(cell: Cell, copied: Path, toy_data: Path, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs")
    there, new = import_run(copied, ledger)
    shutil.rmtree(copied)
    assert new
    assert there.state() == "done"
    assert [each.fingerprint for each in ledger.cells()] == [cell.fingerprint]
    again = harness.open(ledger.root, cell.fingerprint[:6], data=toy_data)
    assert again.evaluate(device="cpu") == (cell.result() or {})["test"]
    for name in ("spec.json", "result.json", "metrics.jsonl", "noise.npy", "labels.npy", "model.safetensors"):
        assert there.path(name).read_bytes() == cell.path(name).read_bytes(), name


def test_an_imported_run_is_exported_as_it_was_without_its_data(copied: Path, exported: Path, tmp_path: Path) -> None:
    there, _ = import_run(copied, Ledger(tmp_path / "runs"))
    again = export_run(there, tmp_path / "no data", tmp_path / "toy-crcl")
    assert contents(again) == contents(exported)


def test_the_words_travel_with_the_network(copied: Path, toy_data: Path, tmp_path: Path) -> None:
    """On a folder that has a test split alone, and so no words to build from."""
    bare = tmp_path / "data" / "toy"
    bare.mkdir(parents=True)
    for name in ("test_ims.npy", "test_caps.txt", "test_ids.txt", "card.json"):
        shutil.copy(toy_data / "toy" / name, bare / name)
    opened = harness.open(copied, data=bare.parent)
    assert opened.evaluate(device="cpu") == opened.result["test"]


def test_several_networks_travel_together(tmp_path: Path, toy_data: Path) -> None:
    two = finished(tmp_path, '[axes]\n"noise.rate" = [0.4]\n[axes.method.gsc]\n' + PEERS, toy_data)
    out = export_run(two, toy_data, tmp_path / "out")
    there, _ = import_run(out, Ledger(tmp_path / "other"))
    assert there.path("model.1.safetensors").is_file()
    opened = harness.open(out, data=toy_data)
    assert opened.evaluate(device="cpu") == opened.result["test"]


PEERS = 'method = { name = "gsc", networks = 2 }\nschedule.epochs = 1\n'


def test_the_command_line(exported: Path, cell: Cell, copied: Path, toy_data: Path, tmp_path: Path) -> None:
    runs = cell.folder.parent
    done = run("export", cell.fingerprint[:8], "--out", tmp_path / "new", "--runs", runs, "--data", toy_data)
    assert done.exit_code == 0, done.output
    assert "README.md" in done.output
    by_folder = run("evaluate", tmp_path / "new", "--data", toy_data, "--device", "cpu")
    by_name = run("evaluate", cell.fingerprint[:8], "--runs", runs, "--data", toy_data, "--device", "cpu")
    by_file = run("evaluate", copied / "model.safetensors", "toy", "--data", toy_data, "--device", "cpu")
    rsum = (cell.result() or {})["test"]["full"]["rsum"]
    assert by_folder.output == by_name.output == by_file.output
    assert "toy test full: i2t_r1" in by_folder.output
    assert f"rsum {rsum:.1f}" in by_folder.output
    assert (
        "is there already, and nothing is written over it"
        in run("export", cell.fingerprint, "--out", tmp_path / "new", "--runs", runs, "--data", toy_data).output
    )
    imported = [run("import", copied, "--runs", tmp_path / "runs") for _ in range(2)]
    assert ": imported: " in imported[0].output
    assert "is there already, the same" in imported[1].output
    assert "a file does not say what it was trained on" in run("evaluate", copied / "model.safetensors").output


# -- damage --------------------------------------------------------------------------------------------------------


def test_damage_of_each_file_is_refused_in_one_line(exported: Path, tmp_path: Path) -> None:
    names = sorted({path.name for path in exported.iterdir()} - {form.README})
    assert {"model.safetensors", "noise.npy", "labels.npy", "vocabulary.json", "export.json", "spec.json"} < {*names}
    for name in names:
        for damage in ("a bit", "cut", "gone"):
            folder = Path(shutil.copytree(exported, tmp_path / f"{damage} {name}"))
            path = folder / name
            content = bytearray(path.read_bytes())
            if damage == "gone":
                path.unlink()
            elif damage == "cut":
                path.write_bytes(content[: len(content) // 2])
            else:
                content[len(content) // 2] ^= 1
                path.write_bytes(content)
            for use in (form.open_exported, partial(import_run, ledger=Ledger(tmp_path / "runs"))):
                with pytest.raises(HarnessError) as refused:
                    use(folder)
                assert name in str(refused.value), (name, damage)
                assert "\n" not in str(refused.value), (name, damage)
                assert "again" in str(refused.value) or "makes one" in str(refused.value)
            assert not (tmp_path / "runs").exists()
            shutil.rmtree(folder)


def test_what_a_hub_and_people_add_is_left_alone(copied: Path, tmp_path: Path) -> None:
    (copied / ".gitattributes").write_text("*.npy filter=lfs\n")
    (copied / form.README).write_text("---\nlicense: mit\n---\nedited on the hub\n")
    there, _ = import_run(copied, Ledger(tmp_path / "runs"))
    assert not there.path(".gitattributes").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fingerprint": "0" * 16}, "is of the run 0000000000000000, its settings of"),
        ({"format": 2}, "has format 2, written by a newer version"),
        ({"files": {"../../evil": "0"}}, "'../../evil': accepted: the files of a run"),
        ({"files": {}}, "files = {}: accepted: 1 or more values"),
    ],
)
def test_a_manifest_of_another_run_is_refused(copied: Path, change: dict[str, Any], message: str) -> None:
    rewrite(copied, **change)
    with pytest.raises(HarnessError, match=re.escape(message)):
        form.open_exported(copied)


def test_settings_under_another_name_are_refused(copied: Path) -> None:
    """The fingerprint is computed anew: checksums and seals that fit do not help."""
    spec = {key: value for key, value in read_json(copied / "spec.json").items() if key != "seal"}
    spec["run"]["method"]["beta"] = 0.123
    write_json(copied / "spec.json", sealed(spec))
    files = read_json(copied / form.MANIFEST)["files"]
    rewrite(copied, files={**files, "spec.json": file_sha256(copied / "spec.json")})
    with pytest.raises(HarnessError, match=r"its settings of [0-9a-f]{16}; copy or download"):
        form.open_exported(copied)


def rewrite(folder: Path, **changes: Any) -> None:
    manifest = {key: value for key, value in read_json(folder / form.MANIFEST).items() if key != "seal"}
    write_json(folder / form.MANIFEST, sealed({**manifest, **changes}))


def test_a_run_that_is_there_is_not_overwritten(copied: Path, cell: Cell, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs")
    waiting = ledger.add({key: value for key, value in cell.spec.items() if key != "format"})
    with pytest.raises(HarnessError, match="this run is waiting here, with another result or none, and is not over"):
        import_run(copied, ledger)
    assert [path.name for path in waiting.folder.iterdir()] == ["spec.json"]


@pytest.mark.parametrize("name", ["dataset.json", "vocabulary.json"])
def test_damaged_words_of_an_imported_run_are_one_line(name: str, copied: Path, toy_data: Path, tmp_path: Path) -> None:
    there, _ = import_run(copied, Ledger(tmp_path / "runs"))
    for content in ("{}", "{", "[]"):
        there.path(name).write_text(content)
        opened = harness.open(there.folder, data=toy_data)
        uses = [partial(opened.export, tmp_path / "out"), *([opened.evaluate] if name == "vocabulary.json" else [])]
        for use in uses:
            with pytest.raises(HarnessError, match=name) as refused:
                use()
            assert "\n" not in str(refused.value)


def test_what_cannot_be_exported_is_one_line(cell: Cell, toy_data: Path, tmp_path: Path) -> None:
    waiting = Ledger(tmp_path / "runs").add({key: value for key, value in cell.spec.items() if key != "format"})
    with pytest.raises(HarnessError, match="is waiting; accepted: a finished run"):
        export_run(waiting, toy_data, tmp_path / "out")
    with pytest.raises(HarnessError, match="neither a known data set nor a folder"):
        export_run(cell, tmp_path, tmp_path / "out")
    changed = Path(shutil.copytree(toy_data, tmp_path / "changed"))
    with open(changed / "toy" / "dev_caps.txt", "a") as file:
        file.write(" \n" * 50)
    earlier = Cell(Path(shutil.copytree(cell.folder, tmp_path / "earlier" / cell.fingerprint)))
    earlier.path("vocabulary.json").unlink()  # as a run of a version that did not keep it
    with pytest.raises(HarnessError, match="the data differ from those that"):
        export_run(earlier, changed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# -- kills ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 2, 9, 30, 60, 71, 72, 73, 74, 75, 76, 77])
def test_a_killed_export_leaves_nothing_under_that_name(
    number: int, cell: Cell, exported: Path, toy_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "toy-crcl"
    killed = killed_at(number, tmp_path, lambda: export_run(cell, toy_data, out))
    assert killed or number > 60
    if out.exists():
        assert contents(out) == contents(exported)
        return
    export_run(cell, toy_data, out)
    assert contents(out) == contents(exported)
    assert [path.name for path in tmp_path.iterdir()] == ["toy-crcl"]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 30, 58, 62, 63, 64, 65, 66, 67, 68])
def test_a_killed_import_leaves_no_cell(number: int, exported: Path, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs")
    assert killed_at(number, tmp_path, lambda: import_run(exported, ledger)) or number > 50
    left = list(ledger.cells())
    assert [each.state() for each in left] == ["done"] * len(left)
    there, _ = import_run(exported, ledger)
    assert there.state() == "done"
    assert there.file("model.safetensors")
    assert not left or left[0].fingerprint == there.fingerprint


def test_every_kill_is_tried(cell: Cell, exported: Path, toy_data: Path, tmp_path: Path) -> None:
    """The last numbers above lie beyond the last file operation, so the renames are among them."""
    assert not killed_at(77, tmp_path, lambda: export_run(cell, toy_data, tmp_path / "out"))
    assert not killed_at(68, tmp_path, lambda: import_run(exported, Ledger(tmp_path / "runs")))


def test_a_folder_is_not_made_where_the_block_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with whole_folder(tmp_path / "out") as folder:
            (folder / "half").write_text("")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not list(tmp_path.iterdir())


# -- the card, the hub ---------------------------------------------------------------------------------------------


def test_the_card_is_one_that_the_hub_reads(exported: Path, cell: Cell) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard.load(exported / form.README)
    result = cell.result() or {}
    said = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert said["rsum"] == result["test"]["full"]["rsum"]
    assert card.data.license == "other"
    assert card.data.datasets == ["toy"]
    assert {"noisy-correspondence", "crcl"} <= {*card.data.tags}
    assert f"Fingerprint `{cell.fingerprint}`" in card.text
    assert (
        "Licence of the data that it was trained on: not stated. Source of the data: tests/synthetic.py." in card.text
    )
    assert "| `method.beta` " in card.text
    assert f"{result['test']['full']['rsum']:.1f}" in card.text


def test_the_card_s_python_runs(exported: Path, toy_data: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (exported / form.README).read_text(), flags=re.DOTALL)
    shutil.copytree(exported, tmp_path / exported.name)
    (tmp_path / "data").symlink_to(toy_data)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert not names["network"].training


@pytest.mark.parametrize(
    ("licence", "known"),
    [
        ("CC-BY 4.0 (Twemoji graphics)", "cc-by-4.0"),
        ("CC BY-NC-SA 3.0", "cc-by-nc-sa-3.0"),
        ("", "other"),
        ("see NCR", "other"),
    ],
)
def test_a_licence_as_the_hub_calls_it(licence: str, known: str) -> None:
    assert licence_id(licence) == known


class FakeHub:
    calls: ClassVar[list[tuple[str, Any]]] = []
    refuses = ""

    def create_repo(self, name: str, **how: Any) -> None:
        self.calls.append((name, how))

    def upload_folder(self, **how: Any) -> None:
        if self.refuses:
            raise OSError(self.refuses)
        self.calls.append(("upload", {**how, "files": contents(Path(how["folder_path"]))}))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[FakeHub]:
    module: Any = ModuleType("huggingface_hub")
    module.HfApi = type("HfApi", (FakeHub,), {"calls": []})
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return module.HfApi


def test_a_run_is_pushed_with_the_hub_s_own_client(
    hub: type[FakeHub], cell: Cell, exported: Path, toy_data: Path, tmp_path: Path
) -> None:
    where = ("--out", tmp_path / "toy-crcl", "--runs", cell.folder.parent, "--data", toy_data)
    assert "accepted: OWNER/NAME" in run("export", cell.fingerprint, *where, "--push", "name").output
    assert not (tmp_path / "toy-crcl").exists()
    done = run("export", cell.fingerprint, *where, "--push", "me/toy")
    assert done.output.endswith("pushed to https://huggingface.co/me/toy\n")
    (made, uploaded) = hub.calls
    assert made == ("me/toy", {"repo_type": "model", "private": True, "exist_ok": True})
    assert uploaded[1]["repo_id"] == "me/toy"
    assert uploaded[1]["files"] == contents(exported)


def test_a_refusal_of_the_hub_is_one_line(
    hub: type[FakeHub], cell: Cell, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "refuses", "401\nUnauthorized")
    where = ("--out", tmp_path / "out", "--runs", cell.folder.parent, "--data", toy_data)
    said = run("export", cell.fingerprint, *where, "--push", "me/toy").output
    assert f"--push me/toy: OSError: 401 Unauthorized; {tmp_path / 'out'} is whole" in said
    assert said.count("\n") == 1
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install 'crcl-harness[hub]'" in run("export", cell.fingerprint, *where, "--push", "me/toy").output
