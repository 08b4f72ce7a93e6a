"""`segattr evaluate --fashionpedia`: files in Fashionpedia's own form, for its published numbers and for ours."""

from pathlib import Path

import msgspec

from ..datasets.coco import CocoFile
from ..datasets.convert import fashionpedia
from ..datasets.convert.notes import Notes
from ..datasets.convert.ontology import Numbering, places
from ..datasets.document import gc_paused
from ..datasets.errors import InputError
from ..seg.pairing import Predictions, Result


class _Numbered(Result):
    attribute_ids: list[int] | None = None


class _Dataset(msgspec.Struct):
    annotations: list[_Numbered]


class _Image(msgspec.Struct):
    id: int
    file_name: str


class _Category(msgspec.Struct):
    id: int
    name: str


class _Header(msgspec.Struct):
    images: list[_Image]
    categories: list[_Category]


def read_fashionpedia(gt: Path, pred: Path) -> tuple[CocoFile, Predictions, list[str]]:
    """Ground truth and results list (ids from 0, ``attribute_ids``) in our form, so that all other figures come of them
    too: every supercategory of attributes is one multi attribute. The sentences say what of the truth had to be mended.
    Raises InputError for files of another form."""
    notes = Notes()
    truth = fashionpedia.read(gt, notes)
    # Reading may raise ids (ours begin at 1): a result's are those of the file as it is, so names say which is which.
    header = msgspec.json.decode(gt.read_bytes().removeprefix(b"\xef\xbb\xbf"), type=_Header)
    image_id = {image.file_name: image.id for image in truth.images}
    category_id = {category.name: category.id for category in truth.categories}
    photos = {image.id: image_id.get(image.file_name, -1) for image in header.images}
    names = {category.id: category.name for category in header.categories}
    numbering = Numbering(truth.schema, places(truth.schema))
    items = []
    for one in _results(pred):
        name = names.get(one.category_id, "")
        attributes = numbering.attributes(one.attribute_ids, name)
        ids = photos.get(one.image_id, -1), category_id.get(name, -1)
        items.append(Result(*ids, one.score, one.segmentation, one.bbox, attributes))
    return truth, Predictions(str(pred), None, None, truth.schema, items), notes.lines()


def _results(path: Path) -> list[_Numbered]:
    expected = "expected a list of {image_id, category_id, score, attribute_ids, segmentation}"
    try:
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {expected}.") from error
    try:
        with gc_paused():
            if data.lstrip()[:1] == b"{":
                return msgspec.json.decode(data, type=_Dataset).annotations
            return msgspec.json.decode(data, type=list[_Numbered])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; {expected}.") from error
