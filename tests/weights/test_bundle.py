"""A bundle is whole or refused."""

import json

import pytest
import torch
from torch import nn

from segattr.datasets.errors import InputError
from segattr.weights.bundle import read_bundle, write_bundle

PARTS = {"semantic": {"kind": "semantic"}, "attributes": {"kind": "attributes"}}


def make(folder, half=False):
    states = {"semantic": nn.Linear(3, 2).state_dict(), "attributes": nn.BatchNorm1d(4).state_dict()}
    return write_bundle(folder, PARTS, states, {"semantic": {"data": "none"}}, half=half), states


def test_round_trip_keeps_weights_parts_and_card(tmp_path):
    _, states = make(tmp_path / "b")
    bundle = read_bundle(tmp_path / "b")
    assert bundle.parts == PARTS and bundle.card == {"semantic": {"data": "none"}}
    for name, state in states.items():
        assert set(bundle.tensors(name)) == set(state)
        for key, value in bundle.tensors(name).items():
            assert torch.equal(value, state[key]) and value.dtype == state[key].dtype


def test_half_precision_halves_the_file_and_reads_back_as_float32(tmp_path):
    _, states = make(tmp_path / "b", half=True)
    weight = read_bundle(tmp_path / "b").tensors("semantic")["weight"]
    assert weight.dtype == torch.float32
    assert torch.allclose(weight, states["semantic"]["weight"], atol=1e-3)
    assert torch.equal(weight, states["semantic"]["weight"].half().float())


def test_an_altered_file_is_refused(tmp_path):
    make(tmp_path / "b")
    path = tmp_path / "b" / "semantic.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"semantic\.safetensors was altered"):
        read_bundle(tmp_path / "b")


def test_a_missing_file_is_refused(tmp_path):
    make(tmp_path / "b")
    (tmp_path / "b" / "attributes.safetensors").unlink()
    with pytest.raises(InputError, match=r"attributes\.safetensors is missing"):
        read_bundle(tmp_path / "b")


def test_a_file_outside_the_folder_cannot_be_named(tmp_path):
    make(tmp_path / "b")
    (tmp_path / "b" / "semantic.safetensors").rename(tmp_path / "semantic.safetensors")
    described = tmp_path / "b" / "bundle.json"
    info = json.loads(described.read_text())
    info["parts"]["../semantic"] = info["parts"].pop("semantic")
    info["files"]["../semantic.safetensors"] = info["files"].pop("semantic.safetensors")
    described.write_text(json.dumps(info))
    with pytest.raises(InputError, match="missing"):
        read_bundle(tmp_path / "b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "segattr-bundle"),
        ('{"format": "other"}', "segattr-bundle"),
        ('{"format": "segattr-bundle", "version": 9}', "version 9"),
        ('{"format": "segattr-bundle", "version": 1, "parts": {"a": {}}, "files": {}}', "one NAME.safetensors"),
    ],
)
def test_a_bundle_json_that_is_none_is_refused(tmp_path, text, said):
    (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(InputError, match=said):
        read_bundle(tmp_path)


def test_a_folder_without_bundle_and_a_missing_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no bundle\.json"):
        read_bundle(tmp_path)
    with pytest.raises(InputError, match="no bundle at"):
        read_bundle(tmp_path / "nowhere")


def test_weights_of_another_architecture_are_refused(tmp_path):
    make(tmp_path / "b")
    with pytest.raises(InputError, match="does not fit the architecture"):
        read_bundle(tmp_path / "b").load_into("semantic", nn.Linear(4, 2))
    with pytest.raises(InputError, match="no part 'instance'"):
        read_bundle(tmp_path / "b").part("instance")


def test_writing_again_replaces_the_bundle_and_leaves_nothing_beside_it(tmp_path):
    first, _ = make(tmp_path / "b")
    second, _ = make(tmp_path / "b")
    assert first.fingerprint != second.fingerprint == read_bundle(tmp_path / "b").fingerprint
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_training_goes_on_from_the_weights_that_fit(tmp_path):
    old = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    bundle = write_bundle(tmp_path / "b", {"attributes": {}}, {"attributes": old.state_dict()}, {})
    new = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    head = new[1].weight.clone()
    assert bundle.start_from("attributes", new) == 2
    assert torch.equal(new[0].weight, old[0].weight) and torch.equal(new[1].weight, head)
    with pytest.raises(InputError, match="0 of the model's 2 tensors"):
        bundle.start_from("attributes", nn.Linear(7, 7))
