"""The key under which a file in another tool's form carries what that form cannot say. Other readers skip it."""

from typing import Any

OURS = "segattr"


def taken(extra: dict[str, Any], key: str = OURS) -> dict[str, Any]:
    """The object under ``key``, which is removed; an empty one where there is none."""
    found = extra.pop(key, None)
    return found if isinstance(found, dict) else {}
