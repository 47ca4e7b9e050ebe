"""SAMA for LLaVA-NeXT: referential grounded video chat.

Importing this package is light: no torch, no host. The public names below are fetched from their rooms when first used;
`register()` is what adds SAMA to the host. The import only leaves word for `transformers`: should somebody ask
`AutoConfig` or `AutoModelForCausalLM` for a SAMA checkpoint, the plugin registers itself then.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sama_plugin.host import auto_classes

if TYPE_CHECKING:
    from sama_plugin.host.registration import register, unregister
    from sama_plugin.host.shipped import shipped_checkpoint
    from sama_plugin.inference.session import VideoSession
    from sama_plugin.schema import Region

__version__ = "0.1.0"

__all__ = ["Region", "VideoSession", "__version__", "register", "shipped_checkpoint", "unregister"]

_HOMES = {
    "register": "sama_plugin.host.registration",
    "unregister": "sama_plugin.host.registration",
    "shipped_checkpoint": "sama_plugin.host.shipped",
    "VideoSession": "sama_plugin.inference.session",
    "Region": "sama_plugin.schema",
}


def __getattr__(name: str) -> Any:
    """Fetch a public name from its room on first use."""
    if name not in _HOMES:
        raise AttributeError(
            f"module '{__name__}' has no attribute '{name}'; public names: {', '.join(__all__)}"
        )
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


auto_classes.offer()
