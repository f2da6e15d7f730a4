"""A cached disk is found again without being built."""

from pathlib import Path

import pytest

from openami.diskimage import build_cache
from openami.diskimage.errors import DiskImageError


def test_a_recipe_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(DiskImageError, match="there are tiny, debian-12"):
        build_cache.built("windows", tmp_path, print)
    assert list(tmp_path.iterdir()) == []
