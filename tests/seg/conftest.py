import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def problems():
    """The module coco_problems (tests are no package: it cannot be imported by name)."""
    spec = importlib.util.spec_from_file_location("coco_problems", Path(__file__).with_name("coco_problems.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
