"""Which segmenter a bundle gives, by what the user asked for; mistakes end in a sentence."""

import json

import numpy as np
import pytest

from segattr.datasets.errors import InputError
from segattr.seg import loading
from segattr.seg.components import InstanceOptions
from segattr.seg.instance import InstanceConfig, InstanceNet, InstanceSegmenter
from segattr.seg.loading import choose_segmenter, joint_fingerprint, load_segmenter
from segattr.seg.semantic import SemanticConfig, SemanticNet, SemanticSegmenter
from segattr.weights.bundle import read_bundle, write_bundle

INSTANCE = InstanceConfig(
    backbone="tu-mobilenetv3_small_050", size_px=64, fpn_channels=8, box_convs=(), box_fc=8, mask_convs=(8,)
)
SEMANTIC = SemanticConfig(encoder="tu-mobilenetv3_small_050", decoder_channels=(8, 8, 8, 8, 8), size_px=64)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Bundles by the parts they hold: "i", "s", "is", "a"."""
    folder = tmp_path_factory.mktemp("bundles")
    instance = {"kind": "instance", "model": vars(INSTANCE)}
    semantic = {"kind": "semantic", "model": vars(SEMANTIC), "instances": vars(InstanceOptions())}
    every = {"instance": instance, "semantic": semantic, "attributes": {"kind": "attributes"}}
    states = {"instance": InstanceNet(INSTANCE).state_dict(), "semantic": SemanticNet(SEMANTIC).state_dict()}
    states["attributes"] = {}
    holds = {"i": ["instance"], "s": ["semantic"], "is": ["instance", "semantic"], "a": ["attributes"]}
    return {
        name: write_bundle(folder / name, {part: every[part] for part in parts}, states, {})
        for name, parts in holds.items()
    }


@pytest.mark.parametrize(
    ("bundle", "wanted", "part"),
    [
        ("is", None, "semantic"),
        ("i", None, "instance"),
        ("s", None, "semantic"),
        ("is", "semantic", "semantic"),
        ("is", "instance", "instance"),
    ],
)
def test_what_is_chosen_within_a_bundle(bundles, bundle, wanted, part):
    choice = choose_segmenter(bundles[bundle], wanted)
    assert choice.part == part and choice.bundle is bundles[bundle]


@pytest.mark.parametrize(("other", "part"), [("i", "instance"), ("is", "instance"), ("s", "semantic")])
def test_the_segmenter_of_another_bundle(bundles, other, part):
    choice = choose_segmenter(bundles["a"], bundles[other].folder)
    assert choice.part == part and choice.bundle.folder == bundles[other].folder
    assert choose_segmenter(bundles["a"], str(bundles[other].folder)).part == part


def test_the_loaded_segmenters_find_products_in_photos(bundles):
    photos = [np.zeros((40, 50, 3), np.uint8)]
    for name, kind in (("i", InstanceSegmenter), ("s", SemanticSegmenter)):
        segmenter = load_segmenter(choose_segmenter(bundles[name]))
        assert isinstance(segmenter, kind) and len(segmenter.predict(photos)) == 1


def test_the_fingerprint_covers_the_segmenter(bundles):
    both, other = bundles["is"], bundles["i"]
    plain = joint_fingerprint(both, choose_segmenter(both))
    assert plain == both.fingerprint == joint_fingerprint(both, choose_segmenter(both, "semantic"))
    assert joint_fingerprint(both, choose_segmenter(both, both.folder.parent / "is")) != plain  # its instance part
    seen = {plain, joint_fingerprint(both, choose_segmenter(both, "instance"))}
    seen.add(joint_fingerprint(both, choose_segmenter(both, other.folder)))
    seen.add(joint_fingerprint(both, choose_segmenter(both, bundles["s"].folder)))
    seen.add(joint_fingerprint(bundles["a"], choose_segmenter(bundles["a"], other.folder)))
    assert len(seen) == 5


def test_what_is_not_there_is_said(bundles, tmp_path, monkeypatch):
    for bundle, wanted, said in (
        ("a", None, "no part 'semantic'"),
        ("i", "semantic", "no part 'semantic'"),
        ("s", "instance", "no part 'instance' .found: semantic.; train it with `segattr train instance`"),
        ("s", "mask-rcnn", "expected 'semantic', 'instance' or the folder of a bundle"),
        ("s", tmp_path, "no bundle.json"),
    ):
        with pytest.raises(InputError, match=said):
            choose_segmenter(bundles[bundle], wanted)
    monkeypatch.setattr(loading, "SHIPPED", tmp_path)
    write_bundle(tmp_path / "default", {"semantic": {}}, {"semantic": {}}, {})
    default = read_bundle(tmp_path / "default")
    with pytest.raises(InputError, match="no instance model ships with this segattr"):
        choose_segmenter(default, "instance")
    write_bundle(tmp_path / "instance", {"instance": {}}, {"instance": {}}, {})
    assert choose_segmenter(default, "instance").bundle.folder == tmp_path / "instance"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"no_such_option": 1}, r"bundle\.json: parts\.instance: .*no_such_option"),
        ({"size_px": "large"}, r"bundle\.json: parts\.instance"),
        ({"fpn_channels": 16}, "does not fit the architecture"),
        ({"backbone": "resnet1"}, "no backbone 'resnet1'"),
    ],
)
def test_a_description_that_was_edited_is_refused_with_a_sentence(bundles, tmp_path, change, said):
    write_bundle(tmp_path / "b", bundles["i"].parts, {"instance": bundles["i"].tensors("instance")}, {})
    path = tmp_path / "b" / "bundle.json"
    info = json.loads(path.read_text())
    info["parts"]["instance"]["model"] |= change
    path.write_text(json.dumps(info))
    with pytest.raises(InputError, match=said):
        load_segmenter(choose_segmenter(read_bundle(tmp_path / "b")))
