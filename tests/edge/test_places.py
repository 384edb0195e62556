"""Where things are: the model in use above all."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import InputMissing
from edge.places import SHIPPED_BUNDLE, default_bundle


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_without_an_active_model_the_shipped_one_is_used(models: Path) -> None:
    assert default_bundle().name == SHIPPED_BUNDLE


def test_the_active_model_goes_before_the_shipped_one(models: Path) -> None:
    (models / "mine@0123456789ab").mkdir()
    (models / "active").symlink_to("mine@0123456789ab")
    assert default_bundle() == models / "active"


@pytest.mark.parametrize("target", ["mine@0123456789ab", "active"])
def test_an_active_model_that_is_gone_is_an_error_and_not_silently_the_shipped_one(models: Path, target: str) -> None:
    (models / "active").symlink_to(target)
    with pytest.raises(InputMissing, match=rf"active points to {target}, which is not there: put .* back, or remove"):
        default_bundle()
