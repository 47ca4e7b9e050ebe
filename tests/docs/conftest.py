"""One checkpoint, loaded once, for all that the pages do with it; and the files that the README names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.material import write_material


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the files that pages name without making them."""
    folder = tmp_path_factory.mktemp("material")
    write_material(folder)
    return folder


@pytest.fixture(scope="module")
def one_load() -> Iterator[None]:
    """Load every checkpoint once: what uses a model leaves its weights alone."""
    import sama_plugin

    sama_plugin.register()
    from sama_plugin.host import loading

    load, kept = loading.load_sama_model, {}

    def load_once(*arguments: Any, customized_config: Any = None, **settings: Any) -> Any:
        if customized_config is not None:
            return load(*arguments, customized_config=customized_config, **settings)
        key = repr((arguments, sorted(settings.items())))
        if key not in kept:
            kept[key] = load(*arguments, **settings)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load_sama_model", load_once)
        yield
