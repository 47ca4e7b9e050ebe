from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sama_plugin.data.checking import SourceReport, check_corpora
from sama_plugin.data.corpus import CorpusFiles
from sama_plugin.data.defects import RULES
from tests.data.planted_defects import MORE_PLANTED, PLANTED, Defective
from tests.data.published_fixture import PublishedSet, write_published


@pytest.fixture(scope="session")
def clean_sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PublishedSet]:
    root = tmp_path_factory.mktemp("published")
    return {split: write_published(root / split, split) for split in ("train", "val")}


def copy_of(published: PublishedSet, folder: Path) -> PublishedSet:
    shutil.copytree(published.root, folder / "set")
    return PublishedSet(folder / "set", published.split)


def check(published: PublishedSet, **settings: object) -> list[SourceReport]:
    sources = [CorpusFiles(path, published.masks, published.media) for path in published.records]
    return check_corpora(sources, progress=False, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("split", ["train", "val"])
def test_clean_sets_are_clean(clean_sets: dict[str, PublishedSet], split: str) -> None:
    reports = check(clean_sets[split])
    assert [str(defect) for report in reports for defect in report.defects] == []
    assert sum(report.counts["records"] for report in reports) == {"train": 6, "val": 5}[split]


def test_every_rule_has_a_planted_defect() -> None:
    assert set(PLANTED) == set(RULES)


@pytest.mark.parametrize(("code", "defective"), [*PLANTED.items(), *MORE_PLANTED])
def test_planted_defect_is_found_and_no_other(
    clean_sets: dict[str, PublishedSet], tmp_path: Path, code: str, defective: Defective
) -> None:
    published = copy_of(clean_sets[defective.split], tmp_path)
    defective.plant(published)
    (found,) = [defect for report in check(published) for defect in report.defects]
    assert (found.code, found.record) == (code, defective.record), str(found)
