"""Captions in JSON: Karpathy's splits, COCO's annotations, lists of records, and lines of records."""

import json
import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.formats.base import (
    CAPTION,
    IMAGE,
    SPLIT,
    CaptionFile,
    Row,
    listed,
    one_line,
    pick,
    to_split,
    unknown,
    whole,
)
from harness.data.formats.delimited import decoded
from harness.errors import HarnessError
from harness.files import write_atomic


def read_json_captions(path: Path) -> CaptionFile:
    """The reader for what a .json file holds.

    Raises:
        HarnessError: it is not JSON, or of none of these shapes.
    """
    *_, text = decoded(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            return JsonLines(path)
        raise unknown(path, f"not JSON ({type(error).__name__}: {str(error)[:80]})") from None
    if isinstance(content, list):
        return Records(path, content)
    if isinstance(content, dict):
        images, annotations = content.get("images"), content.get("annotations")
        if isinstance(images, list) and isinstance(annotations, list):
            return Coco(path, content)
        if isinstance(images, list) and all(isinstance(i, dict) and "sentences" in i for i in images):
            return Karpathy(path, content)
        raise unknown(path, f"a JSON object with the keys {listed(list(content))}")
    raise unknown(path, f"JSON that holds one {type(content).__name__}")


class Karpathy(CaptionFile):
    """dataset_flickr8k.json and its like: {"images": [{"filename", "split", "sentences": [{"raw"}]}]}. restval is
    train."""

    kind = "Karpathy's dataset_*.json"
    suffix = ".json"

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        super().__init__(path)
        self.content = content
        self._places: list[tuple[int, int]] = []
        for number, image in enumerate(content["images"]):
            where = f"images[{number}]"
            name = image.get("filename") or image.get("file_name")
            if not isinstance(name, str) or not isinstance(image["sentences"], list):
                lacks = "no list of sentences" if isinstance(name, str) else "no filename"
                raise HarnessError(f"{path}, {where}: {lacks}; accepted: {self.kind}")
            split = to_split(image.get("split"), path, where)
            for place, sentence in enumerate(image["sentences"]):
                raw = sentence.get("raw") if isinstance(sentence, dict) else sentence
                if raw is None and isinstance(sentence, dict) and isinstance(sentence.get("tokens"), list):
                    raw = " ".join(map(str, sentence["tokens"]))
                self._places.append((number, place))
                # COCO's pictures lie in folders by their own split; the name alone is looked for where they do not
                folder = image.get("filepath")
                full = whole(f"{folder}/{name}" if isinstance(folder, str) and folder else name)
                self.rows.append(Row(full, one_line(raw), split, f"{where}.sentences[{place}]"))

    def write(self, path: Path, kept: Sequence[int], columns: Mapping[str, Sequence[object]] | None = None) -> None:
        """Sentences that are not kept go, and images that lose their last one; `columns` become keys of a sentence."""
        chosen: dict[int, list[tuple[int, int]]] = {}
        for row in kept:
            number, place = self._places[row]
            chosen.setdefault(number, []).append((place, row))
        images = []
        for number, image in enumerate(self.content["images"]):
            if number in chosen:
                sentences = [_with(image["sentences"][place], columns, row) for place, row in chosen[number]]
                new = {**image, "sentences": sentences}
                if isinstance(image.get("sentids"), list) and len(image["sentids"]) == len(image["sentences"]):
                    new["sentids"] = [image["sentids"][place] for place, _ in chosen[number]]
                images.append(new)
        _write_json(path, {**self.content, "images": images})


class Coco(CaptionFile):
    """captions_train2017.json and its like: {"images": [{"id", "file_name"}], "annotations": [{"image_id",
    "caption"}]}."""

    kind = "COCO captions"
    suffix = ".json"

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        super().__init__(path)
        self.content = content
        names: dict[object, str] = {}
        for number, image in enumerate(content["images"]):
            try:
                name = whole(image["file_name"])
                if names.setdefault(image["id"], name) != name:
                    raise HarnessError(
                        f"{path}, images[{number}]: id {str(image['id'])[:40]} is that of another picture too; "
                        "accepted: an id for each; mend the file"
                    )
            except (KeyError, TypeError):
                raise HarnessError(f"{path}: images without id or file_name; accepted: {self.kind}") from None
        for number, annotation in enumerate(content["annotations"]):
            where = f"annotations[{number}]"
            if not isinstance(annotation, dict) or "caption" not in annotation or "image_id" not in annotation:
                has = listed(list(annotation)) if isinstance(annotation, dict) else type(annotation).__name__
                raise HarnessError(
                    f"{path}, {where}: has {has}; accepted: annotations with image_id and caption; boxes and keypoints "
                    "are in other files of COCO: take captions_*.json"
                )
            image_id = annotation["image_id"]
            if not isinstance(image_id, Hashable) or image_id not in names:
                raise HarnessError(
                    f"{path}, {where}: image_id {repr(image_id)[:40]} is no image of the file; accepted: "
                    "an id of images; mend the file"
                )
            self.rows.append(Row(names[image_id], one_line(annotation["caption"]), None, where))

    def write(self, path: Path, kept: Sequence[int], columns: Mapping[str, Sequence[object]] | None = None) -> None:
        """Annotations that are not kept go, and images that lose their last one; all else stays, as pycocotools reads
        it."""
        annotations = [_with(self.content["annotations"][row], columns, row) for row in kept]
        left = {annotation["image_id"] for annotation in annotations}
        images = [image for image in self.content["images"] if image["id"] in left]
        _write_json(path, {**self.content, "images": images, "annotations": annotations})


class Records(CaptionFile):
    """A list of objects, each with a picture and one caption or a list of them: [{"image", "caption"}]."""

    kind = "a list of records"
    suffix = ".json"

    def __init__(self, path: Path, content: list[Any]) -> None:
        super().__init__(path)
        self.content = content
        self._places: list[tuple[int, int | None]] = []
        self._captions: list[str] = []  # the key of the caption, by record
        for number, record in enumerate(content):
            self._add(record, number, f"[{number}]")
        if not content:
            raise unknown(path, "an empty list")

    def _add(self, record: Any, number: int, where: str) -> None:
        if not isinstance(record, dict):
            raise unknown(self.path, f"{where} is a {type(record).__name__} and no object")
        names = [str(key) for key in record]
        image, caption, split = pick(names, IMAGE), pick(names, CAPTION), pick(names, SPLIT)
        if image is None or caption is None or image == caption:
            raise HarnessError(
                f"{self.path}, {where}: keys {listed(names)}; accepted: image (or {', '.join(IMAGE[1:5])}) and caption "
                f"(or {', '.join(CAPTION[1:4])})"
            )
        self._captions.append(names[caption])
        said = record[names[caption]]
        texts = said if isinstance(said, list) else [said]
        for place, text in enumerate(texts):
            raw = text.get("raw") if isinstance(text, dict) else text
            self._places.append((number, place if isinstance(said, list) else None))
            home = None if split is None else to_split(record[names[split]], self.path, where)
            self.rows.append(Row(whole(record[names[image]] or ""), one_line(raw), home, where))

    def _chosen(self, kept: Sequence[int], columns: Mapping[str, Sequence[object]] | None) -> list[Any]:
        chosen: dict[int, list[tuple[int | None, int]]] = {}
        for row in kept:
            number, place = self._places[row]
            chosen.setdefault(number, []).append((place, row))
        records = []
        for number, places in chosen.items():
            record, key = self.content[number], self._captions[number]
            if isinstance(record[key], list):
                record = {**record, key: [record[key][place] for place, _ in places if place is not None]}
                for name, values in (columns or {}).items():
                    record[name] = [values[row] for _, row in places]
            else:
                record = _with(record, columns, places[0][1])
            records.append(record)
        return records

    def write(self, path: Path, kept: Sequence[int], columns: Mapping[str, Sequence[object]] | None = None) -> None:
        _write_json(path, self._chosen(kept, columns))


class JsonLines(Records):
    """A record a line: metadata.jsonl of an image folder, and its like."""

    kind = "a record a line"

    def __init__(self, path: Path) -> None:
        CaptionFile.__init__(self, path)
        self.suffix = path.suffix or ".jsonl"
        self._places, self._captions, self.content = [], [], []
        self.mark, self.encoding, text = decoded(path)
        self._lines: list[str] = []
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    raise HarnessError(
                        f"{path}, line {number}: is not JSON; accepted: an object a line; mend that line"
                    ) from None
                self._add(record, len(self.content), f"line {number}")
                self.content.append(record)
                self._lines.append(line.rstrip("\r"))
        if not self.content:
            raise unknown(path, "an empty file")

    def write(self, path: Path, kept: Sequence[int], columns: Mapping[str, Sequence[object]] | None = None) -> None:
        """A line that is kept whole stays byte for byte."""
        whole: dict[int, int] = {}
        for number, _ in self._places:
            whole[number] = whole.get(number, 0) + 1
        left: dict[int, int] = {}
        for row in kept:
            number = self._places[row][0]
            left[number] = left.get(number, 0) + 1
        lines = []
        for record, number in zip(self._chosen(kept, columns), left, strict=True):
            same = not columns and left[number] == whole[number]
            lines.append(self._lines[number] if same else _dumped(record))
        write_atomic(path, self.mark + "".join(line + "\n" for line in lines).encode(self.encoding))


def _with(value: Any, columns: Mapping[str, Sequence[object]] | None, row: int) -> Any:
    """An object with a row's extra values; anything else as it is."""
    if not columns or not isinstance(value, dict):
        return value
    return {**value, **{name: values[row] for name, values in columns.items()}}


def _write_json(path: Path, content: Any) -> None:
    write_atomic(path, (_dumped(content) + os.linesep).encode())


def _dumped(value: Any) -> str:
    """As JSON: letters as they are, unless one of them cannot be written."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text == whole(text) else json.dumps(value)
