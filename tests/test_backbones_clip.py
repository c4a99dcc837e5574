"""CLIP gives transformers' own embeddings of the same pictures and texts; what it needs, it asks for in one line."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import POSITIONS, write_clip
from PIL import Image

from harness.backbones import BACKBONES, CLIP
from harness.backbones.pretrained import END, START, TINY, TINY_POSITIONS, folder_sha256, load_reader
from harness.backbones.weights import load_backbone, save_backbone
from harness.data import Captions, PixelDataset, open_dataset
from harness.errors import HarnessError
from harness.evaluation.scoring import score_matrix
from harness.grids.resolve import resolve_run
from harness.spec import RunSpec, fingerprint

TEXTS = ["a cat on the mat", "the red dog", "", "a zebra, nobody's word!", "the cat " * 40]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("models") / "clip")


def network(folder: Path | str) -> CLIP:
    reader = CLIP.reader(model=str(folder), sha256="")
    return CLIP(32, reader.vocabulary_size, model=str(folder)).eval()


def captions(folder: Path | str, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    coded = load_reader(str(folder)).tokenise(texts)
    offsets = np.concatenate(([0], np.cumsum([len(each) for each in coded])))
    held = Captions(np.concatenate(coded).astype(np.int32), offsets)
    tokens, lengths = held.padded(np.arange(len(texts)))
    return torch.from_numpy(tokens), torch.from_numpy(lengths)


def pooled(output: object) -> torch.Tensor:
    """transformers 5 returns the features inside an output, 4 as they are."""
    return torch.nn.functional.normalize(getattr(output, "pooler_output", output), dim=-1)


@torch.no_grad()
def test_image_embeddings_are_those_of_transformers_on_the_same_picture(folder: Path) -> None:
    from transformers import CLIPImageProcessor, CLIPModel

    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    theirs = CLIPModel.from_pretrained(folder).eval()
    inputs = CLIPImageProcessor.from_pretrained(folder)([Image.fromarray(p) for p in pictures], return_tensors="pt")
    expected = pooled(theirs.get_image_features(**inputs))
    found = network(folder).encode_images(torch.from_numpy(pictures), torch.full((3,), 32)).values
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (expected[0] - expected[1]).abs().max() > 1e-2  # they could be told apart


@torch.no_grad()
def test_text_embeddings_are_those_of_transformers_on_the_same_texts(folder: Path) -> None:
    from transformers import CLIPModel, CLIPTokenizer

    theirs = CLIPModel.from_pretrained(folder).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    inputs = tokenizer(TEXTS, padding=True, truncation=True, max_length=POSITIONS, return_tensors="pt")
    expected = pooled(theirs.get_text_features(**inputs))
    tokens, lengths = captions(folder, TEXTS)
    assert lengths.tolist() == inputs["attention_mask"].sum(dim=1).tolist()
    assert lengths.max() == POSITIONS  # the last text was cut
    found = network(folder).encode_texts(tokens, lengths).values
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (expected[0] - expected[1]).abs().max() > 1e-2


@torch.no_grad()
def test_padding_of_a_batch_changes_nothing(folder: Path) -> None:
    clip = network(folder)
    tokens, lengths = captions(folder, TEXTS)
    together = clip.encode_texts(tokens, lengths).values
    for row, length in enumerate(lengths.tolist()):
        alone = clip.encode_texts(tokens[row : row + 1, :length], lengths[row : row + 1]).values
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-6, rtol=0)


@torch.no_grad()
def test_pictures_of_another_size_are_resized(folder: Path) -> None:
    clip = network(folder)
    plain = np.random.default_rng(1).integers(0, 256, (2, 2, 2, 3), dtype=np.uint8)
    small = torch.from_numpy(plain.repeat(16, axis=1).repeat(16, axis=2))  # (2, 32, 32, 3), four plain quarters
    large = torch.from_numpy(plain.repeat(32, axis=1).repeat(32, axis=2))
    at, of = torch.full((2,), 32), torch.full((2,), 64)
    similar = clip.similarity(clip.encode_images(small, at), clip.encode_images(large, of))
    assert (similar.diagonal() > 0.99).all()


def test_a_run_starts_from_the_pretrained_weights_whatever_the_seed(folder: Path) -> None:
    from transformers import CLIPModel

    theirs = CLIPModel.from_pretrained(folder).state_dict()
    for seed in (1, 2):
        torch.manual_seed(seed)
        ours = {key.removeprefix("network."): value for key, value in network(folder).state_dict().items()}
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], value) for key, value in theirs.items())
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, other = network(TINY).state_dict(), network(TINY).state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(torch.get_rng_state(), before)  # the tiny one has a generator of its own


def test_everything_but_the_logit_scale_learns(folder: Path) -> None:
    clip = network(folder).train()
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
    images = clip.encode_images(pictures, torch.full((2,), 32))
    scores = clip.similarity(images, clip.encode_texts(*captions(folder, TEXTS[:2])))
    scores.diagonal().sum().backward()
    still = {name for name, parameter in clip.named_parameters() if parameter.grad is None}
    assert still == {"network.logit_scale"}


def test_a_saved_network_is_the_fine_tuned_one(folder: Path, tmp_path: Path) -> None:
    clip = network(folder)
    with torch.no_grad():
        clip.network.visual_projection.weight.add_(1)
    save_backbone(tmp_path / "model.safetensors", clip)
    again = load_backbone(tmp_path / "model.safetensors")
    assert again.configuration() == {"model": str(folder), "sha256": ""}
    found = again.state_dict()
    assert all(torch.equal(found[key], value) for key, value in clip.state_dict().items())


def test_bytes_are_the_tiny_model_s_tokens() -> None:
    reader = load_reader(TINY)
    assert reader.tokenise(["ab", ""]) == [[START, 98, 99, END], [START, END]]
    long = reader.tokenise(["ñ" * 100])[0]
    assert (len(long), long[-1]) == (TINY_POSITIONS, END)
    assert max(reader.tokenise([bytes(range(128)).decode() + "\u07ff"])[0]) < reader.vocabulary_size


def test_scores_of_a_split_are_transformers_logits(folder: Path, toy_data: Path) -> None:
    """The whole path: pixels from disk, captions in the model's tokens, in shards, each in its place."""
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    reader = load_reader(str(folder))
    split = PixelDataset(open_dataset("toy", toy_data), reader.tokenise, reader.vocabulary_size).split("dev").images(4)
    scores = score_matrix(network(folder), split, "cpu", batch_size=3, caption_shard=7, image_shard=2)
    pictures = [Image.fromarray(np.asarray(p)) for p in split.regions]
    inputs = CLIPTokenizer.from_pretrained(folder)(
        split.texts, padding=True, truncation=True, max_length=POSITIONS, return_tensors="pt"
    )
    inputs |= CLIPImageProcessor.from_pretrained(folder)(pictures, return_tensors="pt")
    model = CLIPModel.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = model(**inputs).logits_per_image / model.logit_scale.exp()
    assert scores.shape == (4, 20)
    torch.testing.assert_close(scores, expected, atol=2e-3, rtol=0)  # Pillow rounds a resized picture to whole numbers


# -- which model, and is it the one --------------------------------------------------------------------------------


def spec(model: Path | str, **more: object) -> RunSpec:
    table = {
        "dataset": "toy", "noise": "caption_level", "backbone": {"name": "clip", "model": str(model)},
        "method": "zero_shot", **more,
    }  # fmt: skip
    return resolve_run(table, "a.toml")


def test_a_fingerprint_follows_the_weights_and_not_the_folder(folder: Path, tmp_path: Path) -> None:
    moved, other = tmp_path / "moved", write_clip(tmp_path / "other", seed=1)
    shutil.copytree(folder, moved)
    (moved / "README.md").write_text("not what the model is")
    here = spec(folder)
    assert here.backbone.parameters["sha256"] == folder_sha256(str(folder)) != ""
    assert fingerprint(spec(moved)) == fingerprint(here)
    assert fingerprint(spec(other)) != fingerprint(here)
    hub = [spec(name) for name in ("openai/clip-vit-base-patch32", "openai/clip-vit-base-patch16", TINY)]
    assert {run.backbone.parameters["sha256"] for run in hub} == {""}
    assert len({fingerprint(run) for run in (here, *hub)}) == 4


def test_a_folder_that_changed_under_a_run_is_refused(folder: Path, tmp_path: Path) -> None:
    changed = tmp_path / "clip"
    shutil.copytree(folder, changed)
    parameters = spec(changed).backbone.parameters
    CLIP.reader(**parameters)
    shutil.copy(write_clip(tmp_path / "other", seed=1) / "model.safetensors", changed)
    with pytest.raises(HarnessError, match=rf"its sha256 is \w+; accepted: backbone.sha256 = {parameters['sha256']}"):
        CLIP.reader(**parameters)
    shutil.rmtree(changed)
    with pytest.raises(HarnessError, match=r"there is no such folder; accepted: backbone.sha256"):
        CLIP(32, 10, **parameters)


def refused(model: Path | str) -> str:
    with pytest.raises(HarnessError) as error:
        BACKBONES["clip"].reader(model=str(model), sha256="")
    with pytest.raises(HarnessError):
        CLIP(32, 10, model=str(model))
    assert "\n" not in str(error.value)
    assert "accepted: the hub name or the local folder of a CLIP as transformers saves it, or tiny-random" in str(
        error.value
    )
    return str(error.value)


def test_no_model_or_no_clip_is_one_line(tmp_path: Path) -> None:
    from vision import write_vit

    assert "backbone.model = /no/such/clip: there is no such folder" in refused("/no/such/clip")
    assert "is a vit, no CLIP" in refused(write_vit(tmp_path / "vit"))
    (tmp_path / "empty").mkdir()
    assert "transformers cannot load it" in refused(tmp_path / "empty")


def test_missing_weights_are_one_line(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, tmp_path / "clip")
    file = tmp_path / "clip" / "model.safetensors"
    weights = load_file(file)
    del weights["visual_projection.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(HarnessError, match=r"lacks 1 weights, first visual_projection.weight"):
        network(tmp_path / "clip")


def test_region_features_are_one_line(folder: Path) -> None:
    with pytest.raises(HarnessError, match=r"regions of shape \(2, 36, 2048\); accepted: pixels \(images, S, S, 3\)"):
        network(folder).encode_images(torch.zeros(2, 36, 2048), torch.tensor([36, 36]))
    with pytest.raises(HarnessError, match="one length per row"):
        network(folder).encode_texts(torch.zeros(2, 5, dtype=torch.long), torch.tensor([5]))


def test_augmentation_is_refused(folder: Path) -> None:
    with pytest.raises(
        HarnessError, match=r"^a.toml: augmentation: touches words and regions, but backbone clip reads"
    ):
        spec(folder, augmentation={"token_rate": 0.2})
