"""The bench, made once; the door that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.bench import Bench, benched


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with benched(tmp_path_factory.mktemp("bench")) as made:
        yield made
