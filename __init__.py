"""segattr: from catalog photo to product masks and attributes.

    import segattr
    model = segattr.load("default")
    items = model("photo.jpg")

``items`` holds one item a product: ``mask``, ``xyxy``, ``category``, ``attributes``, ``palette``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attributes.model import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import: reading a COCO file or `segattr --help` should not wait for it.
    if name == "load":
        from .attributes.model import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
