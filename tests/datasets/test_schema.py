"""Schema: reading entries, applicability, and what an annotation's attributes may say."""

import pytest

from segattr.datasets.errors import InputError
from segattr.datasets.schema import Attribute, Schema, schema_defects

ENTRIES = [
    {"name": "color", "kind": "multi", "values": ["navy", "white", "red"]},
    {"name": "pattern", "kind": "single", "values": ["solid", "striped"], "source": "guide v2"},
    {"name": "sleeve", "kind": "number", "unit": "cm", "categories": ["shirt", "dress"]},
]


@pytest.fixture
def schema():
    return Schema.from_json(ENTRIES, "f.json: attribute_schema")


def test_entries_survive_a_round_trip_with_their_unknown_keys(schema):
    assert schema.to_json() == ENTRIES
    assert Schema.from_json(schema.to_json(), "again") == schema


def test_it_is_found_by_name_and_in_order(schema):
    assert [a.name for a in schema] == ["color", "pattern", "sleeve"]
    assert len(schema) == 3 and "color" in schema and "size" not in schema
    assert schema["sleeve"].unit == "cm"


def test_an_attribute_applies_to_its_categories_alone(schema):
    assert schema["sleeve"].applies_to("dress") and not schema["sleeve"].applies_to("shoes")
    assert schema["color"].applies_to("shoes")


@pytest.mark.parametrize(
    "attributes, category, paths",
    [
        ({"color": ["navy", "white"], "pattern": "solid", "sleeve": 31.5}, "shirt", []),
        ({}, "shirt", []),
        ({"color": []}, "shirt", []),
        ({"sleeve": 20}, "dress", []),
        ({"sleeve": 20}, "shoes", ["sleeve"]),
        ({"sleeve": "20"}, "dress", ["sleeve"]),
        ({"sleeve": True}, "dress", ["sleeve"]),
        ({"sleeve": float("nan")}, "dress", ["sleeve"]),
        ({"pattern": "plaid"}, "shirt", ["pattern"]),
        ({"pattern": ["solid"]}, "shirt", ["pattern"]),
        ({"pattern": None}, "shirt", ["pattern"]),
        ({"color": "navy"}, "shirt", ["color"]),
        ({"color": ["navy", "teal", 3]}, "shirt", ["color[1]", "color[2]"]),
        ({"color": ["navy", "navy"]}, "shirt", ["color[1]"]),
        ({"fit": "slim", "pattern": "x"}, "shirt", ["fit", "pattern"]),
        ([], "shirt", [""]),
    ],
)
def test_every_wrong_value_is_named_by_its_path(schema, attributes, category, paths):
    assert [path for path, _ in schema.defects(attributes, category)] == paths


def test_a_message_says_what_was_found_and_what_was_expected(schema):
    [(_, message)] = schema.defects({"pattern": "plaid"}, "shirt")
    assert '"plaid"' in message and "solid, striped" in message


def test_an_empty_schema_accepts_any_attributes():
    assert Schema().defects({"occluded": False, "rotation": 0.0}, "shirt") == []


@pytest.mark.parametrize(
    "entries, path",
    [
        ("color", ""),
        (["color"], "[0]"),
        ([{"kind": "single", "values": ["a"]}], "[0].name"),
        ([{"name": "a", "kind": "text", "values": ["a"]}], "[0].kind"),
        ([{"name": "a", "kind": ["single"], "values": ["a"]}], "[0].kind"),
        ([{"name": "a", "kind": "single"}], "[0].values"),
        ([{"name": "a", "kind": "multi", "values": []}], "[0].values"),
        ([{"name": "a", "kind": "multi", "values": "ab"}], "[0].values"),
        ([{"name": "a", "kind": "multi", "values": ["x", "y", "x"]}], "[0].values[2]"),
        ([{"name": "a", "kind": "multi", "values": ["x", 1]}], "[0].values[1]"),
        ([{"name": "a", "kind": "number", "values": ["x"]}], "[0].values"),
        ([{"name": "a", "kind": "number", "unit": 1}], "[0].unit"),
        ([{"name": "a", "kind": "number", "categories": [None]}], "[0].categories[0]"),
        ([{"name": "a", "kind": "number"}, {"name": "a", "kind": "number"}], "[1].name"),
    ],
)
def test_a_bad_entry_is_refused_with_its_path(entries, path):
    assert [p for p, _ in schema_defects(entries)] == [path]
    with pytest.raises(InputError, match=r"f\.json: attribute_schema"):
        Schema.from_json(entries, "f.json: attribute_schema")


def test_two_attributes_of_one_name_are_refused():
    with pytest.raises(InputError, match="'a' stands twice"):
        Schema([Attribute("a", "number"), Attribute("a", "number")])
