"""Pictures of jewellery: pieces of one category on a ground, at that category's scale."""

from typing import Any

import cv2
import numpy as np

from .grounds import GROUNDS, ground
from .jewels import BUILDERS, METALS, STONES, Jewel
from .metalwork import FINISHES, Cut, render_jewel
from .scene import SynthProduct, cast_shadow, draw_light, photographed

_PLAIN = 0.3  # share of the pieces without a stone


def compose(
    rng: np.random.Generator, size_px: int, products: tuple[int, int], ground_kind: str = "mixed", **forced: str
) -> tuple[np.ndarray, list[SynthProduct], dict[str, Any]]:
    """A picture, uint8 (size_px, size_px, 3) RGB, its products, and its scale, {"mm_per_px": ...}.

    Several products lie side by side, each as small as that makes them; nothing is hidden. ``forced`` may fix category,
    metal, stone and finish of every product.
    """
    light = draw_light(rng)
    kind = GROUNDS[int(rng.integers(len(GROUNDS)))] if ground_kind == "mixed" else ground_kind
    picture = ground(rng, kind, size_px, light)
    category = forced.get("category") or str(rng.choice(list(BUILDERS)))
    build, shown_mm = BUILDERS[category]
    count = int(rng.integers(products[0], products[1] + 1))
    across = int(np.ceil(np.sqrt(count)))
    cell = size_px / across
    px_per_mm = cell / shown_mm
    found = []
    for place in rng.permutation(across * across)[:count]:
        stone = "none" if rng.random() < _PLAIN else str(rng.choice(STONES[1:]))
        jewel = Jewel(forced.get("metal") or str(rng.choice(METALS)), forced.get("stone") or stone)
        finish = forced.get("finish") or str(rng.choice(FINISHES))
        build(rng, jewel)
        middle = (np.array([place % across, place // across]) + 0.5 + rng.uniform(-0.02, 0.02, 2)) * cell
        caps, cuts = _placed(jewel, float(rng.normal(0, 0.35)), px_per_mm, middle)
        dimple = max(2.5, 0.022 * cell)
        drawn = render_jewel(rng, caps, cuts, jewel.metal, finish, dimple, light, size_px)
        cast_shadow(picture, drawn.alpha, drawn.box, light, max(1.0, 0.012 * cell))
        x0, y0, x1, y1 = drawn.box
        region = picture[y0:y1, x0:x1]
        region[:] = cv2.blendLinear(drawn.rgb, np.ascontiguousarray(region), drawn.alpha, 1 - drawn.alpha)
        mask = np.zeros((size_px, size_px), bool)
        # In a tiny picture a wire covers no pixel by half; a product without a pixel would be no product.
        mask[y0:y1, x0:x1] = drawn.alpha >= 0.5 * min(1.0, float(drawn.alpha.max()))
        attributes = {"metal": jewel.metal, "stone": jewel.stone, "finish": finish, **jewel.said}
        found.append(SynthProduct(mask, category, attributes | {"weight": round(jewel.grams, 2)}))
    return photographed(rng, picture), found, {"mm_per_px": round(1 / px_per_mm, 5)}


def _placed(jewel: Jewel, angle: float, px_per_mm: float, middle: np.ndarray) -> tuple[np.ndarray, list[Cut]]:
    """The jewel's bodies and stones in pixels, turned by ``angle`` (rad), its extent centred on ``middle`` (x, y)."""
    caps = np.concatenate(jewel.caps)
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    flat = caps[:, :2] @ turn
    reach = caps[:, 4:5]
    centre = ((flat - reach).min(0) + (flat + reach).max(0)) / 2
    placed = np.concatenate([flat - centre, caps[:, 2:6], caps[:, 6:8] @ turn, caps[:, 8:]], 1)
    placed[:, :5] *= px_per_mm
    placed[:, :2] += middle
    cuts = [
        cut._replace(
            centre=tuple((np.array(cut.centre) @ turn - centre) * px_per_mm + middle),
            half=cut.half * px_per_mm,
            turn=cut.turn + angle,
        )
        for cut in jewel.cuts
    ]
    return placed, cuts
