"""Data sets in the published layout, to be read only."""

from __future__ import annotations

import pytest

from tests.data.published_fixture import PublishedSet, write_published


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> PublishedSet:
    return write_published(tmp_path_factory.mktemp("train") / "set")


@pytest.fixture(scope="module")
def val(tmp_path_factory: pytest.TempPathFactory) -> PublishedSet:
    return write_published(tmp_path_factory.mktemp("val") / "set", "val")
