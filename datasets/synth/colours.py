"""The 13 colour names as shades, and which colours, patterns and materials go together on which product."""

from functools import lru_cache

import cv2
import numpy as np

# Several plausible shades a name, each kept clear of its neighbours: navy is dark and bluish where black has no hue,
# beige is light and yellowish where white has no hue and brown is dark. sRGB.
SHADES: dict[str, tuple[str, ...]] = {
    "black": ("#121214", "#18181a", "#202021", "#26262a"),
    "white": ("#f6f6f4", "#fbfbfa", "#eff0f1"),
    "gray": ("#85878a", "#6c6f72", "#9fa1a3", "#5a5d60", "#a6a8a9", "#787670", "#8d9298"),
    "beige": ("#d8c39c", "#cdb58a", "#e2d0ac", "#c9ae84", "#d8c7a2", "#b9a68a", "#c2b7a4", "#d3cabb"),
    "brown": ("#5e3a20", "#6e4424", "#4c2f1b", "#7d4f2b", "#7a553b", "#4a3a30", "#6b5443"),
    "red": ("#c5141f", "#d62a2a", "#a8101d", "#8a1028", "#df3833", "#b23037", "#6d1d2b", "#8c2b33"),
    "orange": ("#ef7818", "#f28a22", "#e8661a", "#f4943a", "#c9673a", "#d98a5a"),
    "yellow": ("#f2cf1d", "#f6dc48", "#e8bd1c", "#f7e670", "#d9b84a", "#c9a53a"),
    "green": (
        "#2b8a3c",
        "#1f6a37",
        "#6d7a2e",
        "#4bae58",
        "#8bcf98",
        "#35793f",
        "#5f8257",
        "#4b5340",
        "#6b7258",
        "#34503f",
        "#8a9a7c",
    ),
    "blue": (
        "#1f5fc6",
        "#2c86d8",
        "#79b3e8",
        "#2fa3bd",
        "#2558c0",
        "#4f86c4",
        "#5d87ad",
        "#3f5878",
        "#6d86a3",
        "#4a6a94",
        "#8fa9c0",
        "#3a7f90",
    ),
    "navy": ("#141e46", "#18254f", "#101a3c", "#1d2b4d", "#202840", "#222c47"),
    "purple": ("#6a2c93", "#7f4cb4", "#aa85d6", "#5c2478", "#7d5fa0", "#5b4668", "#8b7799"),
    "pink": ("#f086ae", "#f4b0c6", "#e0529a", "#e59cb4", "#d92f86", "#e3a3ac", "#c08d92", "#b3546c", "#d9b3b6"),
}
COLOURS = tuple(SHADES)

# Denim and leather are dyed: their blues and browns are less pure than a print's.
DENIM_SHADES = {
    "blue": ("#41669c", "#5a84b8", "#7fa5cf", "#3c629a"),
    "navy": ("#17213f", "#1b2747"),
    "black": SHADES["black"],
    "gray": ("#75787c", "#979a9e", "#5c5f63"),
    "white": SHADES["white"],
}
MATERIAL_COLOURS: dict[str, dict[str, float]] = {
    "denim": {"blue": 6, "navy": 2.5, "black": 1.5, "gray": 1.5, "white": 0.7},
    "leather": {"black": 4, "brown": 3, "beige": 1.5, "red": 1, "white": 1.5, "navy": 0.6, "gray": 0.6, "pink": 0.4},
    "straw": {"beige": 5, "brown": 2.5, "yellow": 0.7},
}

MATERIALS_OF: dict[str, dict[str, float]] = {
    "t-shirt": {"jersey": 8, "knit": 0.7, "woven": 0.5, "satin": 0.3, "lace": 0.2},
    "longsleeve": {"jersey": 5, "knit": 4, "fleece": 1, "lace": 0.3, "satin": 0.3},
    "pants": {"denim": 4, "jersey": 3, "woven": 4, "shell": 0.7, "leather": 0.6, "satin": 0.4, "fleece": 0.5},
    "shoes": {"leather": 5, "canvas": 4, "rubber": 2.5, "fleece": 0.4},
    "shirt": {"woven": 7, "denim": 1.5, "lace": 0.3, "satin": 0.6},
    "dress": {"woven": 4, "jersey": 3, "lace": 1.5, "satin": 1.5, "denim": 0.5, "knit": 0.7},
    "outwear": {"shell": 5, "fleece": 2.5, "denim": 1.5, "leather": 2, "woven": 1.5},
    "shorts": {"jersey": 2, "woven": 2, "denim": 2.5, "shell": 2, "satin": 0.3},
    "hat": {"canvas": 3.5, "knit": 4, "straw": 3.5, "leather": 0.5, "fleece": 0.8, "woven": 0.7},
    "skirt": {"woven": 4, "denim": 2, "jersey": 1, "satin": 1.2, "leather": 1, "lace": 1},
    "polo": {"jersey": 6, "knit": 1, "woven": 0.4},
    "undershirt": {"jersey": 7, "lace": 0.3},
    "blazer": {"woven": 6, "satin": 0.8, "jersey": 0.6, "leather": 0.3},
    "hoodie": {"jersey": 6, "fleece": 2},
    "body": {"jersey": 7, "fleece": 1},
    "top": {"jersey": 3, "woven": 2, "lace": 1.2, "satin": 1.5, "knit": 0.7},
    "blouse": {"woven": 5, "satin": 2, "lace": 1, "jersey": 0.6},
}
ANY_PATTERN = {
    "solid": 4.0,
    "striped": 1.5,
    "checked": 1.2,
    "dotted": 1.1,
    "floral": 1.3,
    "graphic": 1.6,
    "animal": 0.8,
    "camouflage": 0.8,
    "colorblock": 1.1,
    "allover": 1.3,
}
PATTERNS_OF_MATERIAL: dict[str, dict[str, float]] = {
    "denim": {"solid": 8, "colorblock": 0.5},
    "leather": {"solid": 8, "colorblock": 1, "animal": 0.6},
    "straw": {"solid": 6, "striped": 1, "colorblock": 0.7},
    "rubber": {"solid": 5, "colorblock": 1.2, "dotted": 0.4, "camouflage": 0.4},
    "lace": {"solid": 6, "floral": 0.7, "dotted": 0.5},
    "knit": {"solid": 4, "striped": 2, "checked": 0.6, "colorblock": 1, "allover": 1, "dotted": 0.3},
    "shell": {"solid": 5, "colorblock": 1.4, "camouflage": 0.8, "allover": 0.6, "checked": 0.3, "floral": 0.3},
    "fleece": {"solid": 4, "checked": 1, "animal": 1, "colorblock": 0.8, "striped": 0.6},
    "satin": {"solid": 4, "floral": 1.5, "dotted": 0.8, "animal": 0.8, "striped": 0.7, "allover": 0.8},
}
NO_GRAPHIC = {"shirt", "skirt", "blazer", "blouse", "shoes", "dress", "pants", "polo"}
FEW_WILD = {"blazer", "shirt", "polo"}  # camouflage and animal are rare on these

CAMOUFLAGE = (
    ("green", "brown", "beige"),
    ("green", "black", "beige"),
    ("green", "black", "brown"),
    ("beige", "brown", "green"),
    ("gray", "black", "white"),
    ("navy", "blue", "gray"),
)
ANIMAL = (
    ("beige", "black", "brown"),
    ("beige", "black", "brown"),
    ("white", "black"),
    ("gray", "black"),
    ("brown", "black"),
    ("pink", "black"),
    ("red", "black"),
)


def rgb_of(hex_colour: str) -> np.ndarray:
    """'#rrggbb' as float32 (3,) RGB in 0..255."""
    return np.array([int(hex_colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float32)


def lab(rgb: np.ndarray) -> np.ndarray:
    """sRGB (..., 3) in 0..255 to CIE Lab (..., 3), L in 0..100 (D65)."""
    flat = (np.asarray(rgb, dtype=np.float32) / 255).reshape(1, -1, 3)
    return cv2.cvtColor(flat, cv2.COLOR_RGB2LAB).reshape(np.shape(rgb))


@lru_cache(maxsize=1)
def contrast() -> dict[tuple[str, str], float]:
    """The smallest Lab distance between any shades of two names."""
    labs = {name: lab(np.stack([rgb_of(shade) for shade in shades])) for name, shades in SHADES.items()}
    return {
        (a, b): float(np.linalg.norm(labs[a][:, None] - labs[b][None], axis=-1).min()) for a in COLOURS for b in COLOURS
    }


def draw_weighted(rng: np.random.Generator, weights: dict[str, float]) -> str:
    values = np.array(list(weights.values()))
    return list(weights)[int(np.searchsorted(np.cumsum(values), rng.random() * values.sum(), side="right"))]


def shade(rng: np.random.Generator, name: str, material: str = "") -> np.ndarray:
    """One shade of the named colour with a little jitter, float32 (3,) RGB."""
    shades = DENIM_SHADES.get(name, SHADES[name]) if material == "denim" else SHADES[name]
    rgb = rgb_of(shades[int(rng.integers(len(shades)))])
    return np.clip(rgb * (1 + rng.normal(0, 0.015)) + rng.normal(0, 1.5, 3), 4, 253).astype(np.float32)


def second_colour(rng: np.random.Generator, taken: list[str], least: float = 24.0) -> str:
    """A colour name that nobody would take for one of ``taken``; neutrals are likelier, as on real prints."""
    weights = {
        name: (2.5 if name in ("white", "black") else 1.0)
        for name in COLOURS
        if all(contrast()[name, other] >= least for other in taken) and name not in taken
    }
    return draw_weighted(rng, weights)


def choose_colours(rng: np.random.Generator, pattern: str, material: str) -> list[str]:
    """Colour names, the ground of the fabric first: 1 for solid, 2-3 for the others."""
    if pattern == "camouflage":
        return list(CAMOUFLAGE[int(rng.integers(len(CAMOUFLAGE)))])
    if pattern == "animal":
        names = ANIMAL[int(rng.integers(len(ANIMAL)))]
        return list(names) if material != "leather" else ["beige", "black", "brown"]
    names = [draw_weighted(rng, MATERIAL_COLOURS.get(material, dict.fromkeys(COLOURS, 1.0)))]
    if pattern == "solid":
        return names
    names.append(second_colour(rng, names))
    if (pattern in ("floral", "allover", "graphic") and rng.random() < 0.7) or rng.random() < 0.3:
        names.append("green" if pattern == "floral" and "green" not in names else second_colour(rng, names, 18))
    return names


def pattern_weights(category: str, material: str) -> dict[str, float]:
    """Weight of every pattern that goes with a product of ``category`` made of ``material``."""
    weights = dict(PATTERNS_OF_MATERIAL.get(material, ANY_PATTERN))
    if category in NO_GRAPHIC:
        weights.pop("graphic", None)
    if category in FEW_WILD:
        weights = {name: w * (0.2 if name in ("camouflage", "animal") else 1) for name, w in weights.items()}
    return weights


def choose_pattern(rng: np.random.Generator, category: str, material: str) -> str:
    return draw_weighted(rng, pattern_weights(category, material))
