"""Where the photo of a ``file_name`` lies, and that it lies in the image folder."""

import posixpath
from pathlib import Path, PureWindowsPath

from .errors import InputError
from .schema import shown


def file_name_defect(file_name: str) -> str | None:
    """Why a ``file_name`` could point out of the image folder, or None. Looks at the text alone."""
    if not file_name or "\0" in file_name:
        return "is empty" if not file_name else "holds a NUL character"
    if file_name.startswith(("/", "\\")) or PureWindowsPath(file_name).drive:
        return "is an absolute path"
    parts = posixpath.normpath(file_name.replace("\\", "/")).split("/")
    return "leaves the image folder" if parts[0] == ".." else None


def resolve_image(images_dir: str | Path, file_name: str) -> Path:
    """``images_dir / file_name``, certain to lie inside ``images_dir`` after symlinks are followed.

    The file need not exist. Raises InputError when the name is absolute, climbs out by ``..`` or is a symlink to the
    outside.
    """
    mend = f"expected a path inside {images_dir}: move the photo there or give its folder with --images"
    if why := file_name_defect(file_name):
        raise InputError(f"file_name {shown(file_name)} {why}; {mend}.")
    path = Path(images_dir) / file_name
    try:
        inside = path.resolve().is_relative_to(Path(images_dir).resolve())
    except (OSError, RuntimeError) as error:  # a name that is too long, links in a circle
        raise InputError(f"file_name {shown(file_name)} leads nowhere ({error}); {mend}.") from error
    if not inside:
        raise InputError(f"file_name {shown(file_name)} is a link out of the image folder; {mend}.")
    return path
