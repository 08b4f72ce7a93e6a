"""DeepFashion2: one JSON a photo, sizes from the photos."""

import pytest
from PIL import Image as PilImage

from segattr.datasets.convert import Notes, read
from segattr.datasets.editing import split
from segattr.datasets.errors import InputError


def item(**more):
    about = {"scale": 2, "viewpoint": 2, "zoom_in": 1, "occlusion": 1, "style": 1, "landmarks": [3, 4, 2, 0, 0, 0]}
    drawn = {"segmentation": [[2, 2, 8, 2, 8, 7, 2, 7]], "bounding_box": [2, 2, 8, 7]}
    return about | drawn | {"category_id": 8, "category_name": "trousers"} | more


@pytest.fixture
def folder(put, tmp_path):
    """train/annos and train/image with two photos; the second lies on its side (EXIF)."""
    put("train/annos/000001.json", {"item2": item(style=0), "source": "user", "item1": item(), "pair_id": 5})
    put(
        "train/annos/000002.json",
        {"item1": item(category_id=1, category_name="short sleeve top"), "source": "shop", "pair_id": 6},
    )
    (tmp_path / "train/image").mkdir()
    PilImage.new("RGB", (12, 9)).save(tmp_path / "train/image/000001.jpg")
    upright = PilImage.Exif()
    upright[0x0112] = 6
    PilImage.new("RGB", (12, 9)).save(tmp_path / "train/image/000002.jpg", exif=upright)
    return tmp_path / "train"


def converted(folder, **options):
    notes = Notes()
    coco, images_dir = read(folder, "deepfashion2", notes=notes, **options)
    return coco, images_dir, notes


def test_items_become_annotations(folder):
    coco, images_dir, notes = converted(folder)
    assert not notes and images_dir == folder / "image"
    assert [(i.id, i.file_name, i.width, i.height, i.extra) for i in coco.images] == [
        (1, "000001.jpg", 12, 9, {"source": "user", "pair_id": 5}),
        (2, "000002.jpg", 9, 12, {"source": "shop", "pair_id": 6}),
    ]
    first = coco.annotations[0]
    assert (first.bbox, first.area, first.segmentation) == ([2, 2, 6, 5], 30, [[2, 2, 8, 2, 8, 7, 2, 7]])
    assert first.extra == {
        "scale": 2,
        "viewpoint": 2,
        "zoom_in": 1,
        "occlusion": 1,
        "style": 1,
        "landmarks": [3, 4, 2, 0, 0, 0],
    }
    assert [(a.id, a.image_id, a.extra["style"]) for a in coco.annotations] == [(1, 1, 1), (2, 1, 0), (3, 2, 1)]
    assert [coco.category_by_id[a.category_id].name for a in coco.annotations] == [
        "trousers",
        "trousers",
        "short sleeve top",
    ]
    assert len(coco.categories) == 13 and coco.categories[12].name == "sling dress"


def test_the_folder_of_the_jsons_alone_will_do(folder):
    coco, images_dir, _ = converted(folder / "annos")
    assert len(coco.annotations) == 3 and images_dir == folder / "image"
    (folder / "image").rename(folder.parent / "elsewhere")
    coco, images_dir, _ = converted(folder, images=folder.parent / "elsewhere")
    assert len(coco.annotations) == 3 and images_dir == folder.parent / "elsewhere"


def test_photos_of_one_pair_stay_together(folder):
    coco, _, _ = converted(folder)
    parts = split(coco, {"a": 0.5, "b": 0.5}, group_by="pair_id")
    assert [len(part.images) for part in parts.values()] == [1, 1]


def test_odd_items_are_counted(folder, put):
    put(
        "train/annos/000001.json",
        {
            "item1": item(segmentation=[[2, 2, 8, 2]]),  # a box remains
            "item2": item(bounding_box=[2, 2, 80, 7]),
            "item3": item(category_id=99),
            "item4": item(segmentation=[], bounding_box=[0, 0, 0, 0]),
            "item10": item(category_id=7),
            "item11": None,
            "pair_id": 5,
        },
    )
    coco, _, notes = converted(folder)
    assert [a.bbox for a in coco.annotations[:3]] == [[2, 2, 6, 5]] * 3
    assert [a.segmentation is None for a in coco.annotations[:3]] == [True, False, False]
    assert coco.annotations[2].extra["category_name"] == "trousers" and coco.annotations[2].category_id == 7
    assert notes.lines() == [
        "items whose category_name is not that of category_id (the id counts): 2, first at 000001.json: item3",
        "polygons of fewer than three points left out: 1, first at 000001.json: item1",
        "boxes that are not around their masks, measured anew: 1, first at 000001.json: item2",
        "annotations left out (their category is not in the file): 2, first at 000001.json: item3",
        "annotations left out (neither a mask nor a box in the photo): 1, first at 000001.json: item4",
    ]


def test_what_cannot_be_read_is_counted_and_named(folder, put):
    put("train/annos/000003.json", "{")
    put("train/annos/000004.json", [])
    put("train/annos/000005.json", {"item1": item()})
    put("train/annos/000006.json", {"item1": item()})
    put("train/image/000006.jpg", b"no photo")
    coco, _, notes = converted(folder)
    assert len(coco.images) == 2
    said = "\n".join(notes.lines())
    assert "files left out (no JSON): 2" in said and "000003.json" in said
    assert (
        "photos left out (not in the folder of photos): 3" in said
        and "photos left out (they cannot be read): 1" in said
    )


def test_without_photos_it_is_one_sentence(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"none of the 2 photos .* --images"):
        converted(folder, images=tmp_path / "empty")
    (folder / "image").rename(folder / "photos")
    with pytest.raises(InputError, match=r"image is not a folder.* --images"):
        converted(folder)
