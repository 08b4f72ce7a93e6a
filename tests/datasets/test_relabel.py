"""A file in another catalog's words, by hand-made catalogs."""

import json

import pytest

from segattr.datasets.coco import Annotation, Category, CocoFile, Image, read_coco, write_coco
from segattr.datasets.errors import InputError
from segattr.datasets.relabel import read_meanings
from segattr.datasets.schema import Attribute, Schema
from segattr.tools.cli import main

MATERIAL = Attribute("material", "single", ("denim", "knit"))
LIKE = CocoFile(
    images=[Image(1, "b.jpg", 10, 10)],
    categories=[Category(1, "pants"), Category(2, "hat"), Category(5, "outwear")],
    schema=Schema([MATERIAL]),
)
MAP = {"jeans": {"category": "pants", "attributes": {"material": "denim"}}, "coat": "outwear", "belt": None}


@pytest.fixture
def files(tmp_path):
    names = ["jeans", "coat", "belt", "hat", "ring"]
    street = CocoFile(
        images=[Image(3, "a.jpg", 10, 10), Image(4, "c.jpg", 10, 10)],
        annotations=[
            Annotation(i + 1, 3, i + 1, None, [0, 0, 2, 2], 4.0, attributes={"style": "old"}) for i in range(len(names))
        ],
        categories=[Category(i + 1, name) for i, name in enumerate(names)],
        schema=Schema([Attribute("style", "single", ("old", "new"))]),
    )
    write_coco(tmp_path / "street.json", street)
    write_coco(tmp_path / "like.json", LIKE)
    return tmp_path


def run(folder, meanings, out="out.json"):
    (folder / "map.json").write_text(meanings if isinstance(meanings, str) else json.dumps(meanings))
    files = {"--map": "map.json", "--like": "like.json", "--out": out}
    words = [word for flag, name in files.items() for word in (flag, str(folder / name))]
    return main(["data", "relabel", str(folder / "street.json"), *words])


def test_categories_attributes_and_schema_become_the_other_catalogs(files, capsys):
    assert run(files, MAP) == 0
    said = capsys.readouterr().out
    assert "2 images, 3 annotations" in said and "belt 1, ring 1" in said
    coco = read_coco(files / "out.json")
    assert coco.schema == LIKE.schema and [c.name for c in coco.categories] == ["pants", "hat", "outwear"]
    names = {c.id: c.name for c in coco.categories}
    assert [(a.id, names[a.category_id], a.attributes) for a in coco.annotations] == [
        (1, "pants", {"material": "denim"}),
        (2, "outwear", {}),
        (4, "hat", {}),  # of the same name in both; its style is no attribute of the other catalog
    ]


@pytest.mark.parametrize(
    ("meanings", "said"),
    [
        ({"jeans": "trousers"}, "expected one of: pants, hat, outwear"),
        ({"skirt": "pants"}, "'skirt', which the file does not have"),
        ({"jeans": {"category": "pants", "attributes": {"material": "wool"}}}, "'jeans'.attributes.material"),
        ({"jeans": 3}, "map.json"),
        ("{", "map.json"),
        ({"jeans": {"category": "pants", "atributes": {}}}, "map.json"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(files, meanings, said, capsys):
    assert run(files, meanings) == 2
    error = capsys.readouterr().err
    assert said in error.replace('"', "'") and "Traceback" not in error
    assert not (files / "out.json").exists()


def test_sources_are_not_overwritten(files, capsys):
    assert run(files, MAP, out="like.json") == 2
    assert "would overwrite" in capsys.readouterr().err


def test_a_missing_map_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.json"):
        read_meanings(tmp_path / "nowhere.json")
