"""Lets `AutoConfig` and `AutoModelForCausalLM` find SAMA once the package is imported, without importing anything.

`offer` notes in the table of `transformers` that SAMA's model types exist: now, or when somebody imports the table.
Only when one of them is asked for is the plugin registered, and with it the host imported; nobody else pays for it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from sama_plugin.host.import_hook import call_after_import

MODEL_TYPES = ("llava_sama_qwen", "llava_sama_llama")
TABLE_MODULE = "transformers.models.auto.configuration_auto"

_withdrawals: list[Callable[[], None]] = []


class OfferedConfigs(dict[str, Any]):
    """Registered model types and their configs, to which SAMA's come when they are first looked up."""

    def __contains__(self, model_type: object) -> bool:
        return model_type in MODEL_TYPES or super().__contains__(model_type)

    def __missing__(self, model_type: str) -> Any:
        from sama_plugin.host.registration import register

        if model_type not in MODEL_TYPES:
            raise KeyError(model_type)
        register()
        return dict(self)[model_type]


def offer() -> None:
    """Offer SAMA's model types to `transformers`; a second call does nothing."""
    if not _withdrawals:
        _withdrawals.append(call_after_import(TABLE_MODULE, _offer_in))


def withdraw() -> None:
    """Take the offer back; what is registered stays."""
    while _withdrawals:
        _withdrawals.pop()()


def _offer_in(module: ModuleType) -> None:
    """Put the offer into the table, if it is built as in the versions that `register` takes.

    In others nothing happens, for this runs inside `import transformers`: `register` tells which version is wanted.
    """
    table = getattr(module, "CONFIG_MAPPING", None)
    known = getattr(table, "_extra_content", None)
    if table is None or type(known) is not dict:
        return
    table._extra_content = OfferedConfigs(known)

    def put_back() -> None:
        table._extra_content = dict(table._extra_content)

    _withdrawals.append(put_back)
