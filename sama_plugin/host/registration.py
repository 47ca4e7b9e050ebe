"""`register()` adds SAMA to the host and `unregister()` takes it away again, without leaving a trace.

Checks come first; then the host is imported and its seams are filled:

    AutoConfig, AutoModelForCausalLM     know `llava_sama_qwen` and `llava_sama_llama`
    llava.model                          has the SAMA classes, for code that looks them up there
    build_vision_projector               builds `sama_<base>`, everything else as before
    load_pretrained_model                goes by `model_type` in config.json, never by the model's name
    Llava{Qwen,Llama}ForCausalLM         `from_pretrained` of a SAMA folder gives the SAMA class: this also
                                         reaches callers that bound `load_pretrained_model` before
    conv_templates                       gains ours; now, or when `llava.conversation` is imported

On a patched host `register` is the entry point of the stage `ready` and runs inside `import llava`; then
`llava.model` is complete, `llava` itself is not.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import json
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from sama_plugin.errors import HostError
from sama_plugin.host import auto_classes, compat
from sama_plugin.host.alias import install_alias, remove_alias
from sama_plugin.host.import_hook import call_after_import
from sama_plugin.host.undo import UndoLog
from sama_plugin.prompting.conversation import TEMPLATES

logger = logging.getLogger(__name__)

HOST_CLASSES = ("LlavaQwenForCausalLM", "LlavaLlamaForCausalLM")
"""Host classes whose `from_pretrained` looks at config.json first."""

PROJECTOR_PREFIX = "sama_"

_lock = threading.RLock()
_active: UndoLog | None = None


def register() -> None:
    """Add SAMA to the host; a second call does nothing.

    Raises:
        HostError: host, torch, transformers or sam2 is missing or unsupported, or the host cannot be
            imported. Nothing was changed then.
    """
    global _active
    with _lock:
        if _active is not None:
            return
        host = compat.check_versions()
        undo = UndoLog()
        try:
            if host.package != "llava":
                undo.call(remove_alias)
                install_alias(host.package)
            undo.call(compat.undo_shims)
            compat.before_host()
            _import_host(host)
            if _active is not None:  # a patched host has just called us from inside its import
                return
            _fill_seams(host.package, undo)
        except BaseException:
            undo.undo()
            raise
        _active = undo
    logger.info("SAMA registered in %s %s (%s).", host.package, host.version or "", host.location)


def unregister() -> None:
    """Take SAMA out of the host, every attribute as it was before, and the offer to `transformers` back."""
    global _active
    with _lock:
        if _active is not None:
            _active.undo()
            _active = None
        auto_classes.withdraw()


def is_registered() -> bool:
    """Whether `register()` is in force."""
    return _active is not None


def read_model_type(model_path: str, /, **hub_arguments: Any) -> str | None:
    """`model_type` in the config.json of a folder or hub model; None where there is none to read.

    None rather than an error: the host then meets the same problem and reports it in its own words.
    """
    from transformers import PretrainedConfig

    from sama_plugin.host.hub import HUB_ARGUMENTS

    if Path(model_path).is_dir():
        try:
            values = json.loads((Path(model_path) / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        model_type = values.get("model_type") if isinstance(values, dict) else None
        return model_type if isinstance(model_type, str) else None
    hub_arguments = {key: value for key, value in hub_arguments.items() if key in HUB_ARGUMENTS}
    try:
        values, _ = PretrainedConfig.get_config_dict(str(model_path), **hub_arguments)
    except (OSError, ValueError):
        return None
    return values.get("model_type")


def _import_host(host: compat.HostInfo) -> None:
    """Import the host modules that carry seams; never `llava.conversation` or `llava.train`."""
    with compat.quiet_host_import() as printed:
        try:
            model = importlib.import_module("llava.model")
            importlib.import_module("llava.model.builder")
        except Exception as error:
            said = printed.getvalue().strip()
            raise HostError(
                f"Host '{host.package}' {host.version} in {host.location} cannot be imported: {error}."
                + (f" It printed:\n{said}" if said else "")
                + "\nRun `sama doctor`."
            ) from error
    lacking = [name for name in HOST_CLASSES if not hasattr(model, name)]
    if lacking:
        raise HostError(
            f"Host '{host.package}' {host.version} in {host.location} has no {', '.join(lacking)}. "
            f"It printed:\n{printed.getvalue().strip()}\nInstall what it lacks, or run `sama doctor`."
        )


def _fill_seams(package: str, undo: UndoLog) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from sama_plugin.host import sama_llava

    model = importlib.import_module("llava.model")
    for model_type, (config_class, model_class) in sama_llava.CLASSES.items():
        undo.call(functools.partial(CONFIG_MAPPING._extra_content.pop, model_type, None))
        AutoConfig.register(model_type, config_class, exist_ok=True)
        models = AutoModelForCausalLM._model_mapping._extra_content
        undo.call(functools.partial(models.pop, config_class, None))
        AutoModelForCausalLM.register(config_class, model_class, exist_ok=True)
        undo.set_attribute(model, config_class.__name__, config_class)
        undo.set_attribute(model, model_class.__name__, model_class)

    for name in HOST_CLASSES:
        host_class = getattr(model, name)
        undo.set_attribute(host_class, "from_pretrained", _dispatching_from_pretrained(host_class))

    builder = importlib.import_module("llava.model.builder")
    projector = importlib.import_module("llava.model.multimodal_projector.builder").build_vision_projector
    _replace(package, builder.load_pretrained_model, _dispatching_loader(builder.load_pretrained_model), undo)
    _replace(package, projector, _extended_projector(projector), undo)

    undo.call(
        call_after_import(
            f"{package}.conversation", functools.partial(_add_conversation_templates, undo=undo)
        )
    )


def _replace(package: str, old: Callable[..., Any], new: Callable[..., Any], undo: UndoLog) -> None:
    """Rebind a function wherever the host holds it, by identity; undo looks again, for modules come since."""

    def rebind(before: Callable[..., Any], after: Callable[..., Any]) -> None:
        for name, module in list(sys.modules.items()):
            if module is not None and (name == package or name.startswith(package + ".")):
                for attribute, value in list(vars(module).items()):
                    if value is before:
                        setattr(module, attribute, after)

    undo.call(functools.partial(rebind, new, old))
    rebind(old, new)


def _dispatching_loader(original: Callable[..., Any]) -> Callable[..., Any]:
    """The host's `load_pretrained_model`, asking config.json whether the folder is ours.

    A folder with our SAM2 but no readable config.json is ours too: our loader then says what is wrong.
    """
    from sama_plugin.host.checkpoint import SAM2_FOLDER
    from sama_plugin.host.sama_llava import CLASSES

    signature = inspect.signature(original)
    rest = next(p.name for p in signature.parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD)

    @functools.wraps(original)
    def load_pretrained_model(*args: Any, **kwargs: Any) -> Any:
        given = dict(signature.bind(*args, **kwargs).arguments)
        given.update(given.pop(rest, {}))
        model_type = read_model_type(given["model_path"], **kwargs)
        has_lost_config = model_type is None and (Path(given["model_path"]) / SAM2_FOLDER).is_dir()
        if model_type not in CLASSES and not has_lost_config:
            return original(*args, **kwargs)
        from sama_plugin.host.loading import load_sama_model

        return load_sama_model(**given)

    return load_pretrained_model


def _dispatching_from_pretrained(host_class: type) -> classmethod:
    """`from_pretrained` of a host class, giving the SAMA class for a SAMA folder; subclasses pass through."""
    from sama_plugin.host.sama_llava import CLASSES

    original = host_class.from_pretrained.__func__  # type: ignore[attr-defined]

    @functools.wraps(original)
    def from_pretrained(cls: type, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        model_path = pretrained_model_name_or_path
        is_host_call = cls is host_class and model_path is not None
        model_type = read_model_type(model_path, **kwargs) if is_host_call else None
        if model_type not in CLASSES:
            return original(cls, model_path, *args, **kwargs)
        config_class: Any
        model_class: Any
        config_class, model_class = CLASSES[model_type]
        if "config" in kwargs:
            kwargs["config"] = _as_sama_config(config_class, kwargs["config"], model_path)
        return model_class.from_pretrained(model_path, *args, **kwargs)

    return classmethod(from_pretrained)


def _as_sama_config(config_class: Any, given: Any, model_path: str) -> Any:
    """A host config made from a SAMA folder, as SAMA config: the folder's values and what the caller changed.

    The host reads the folder with its own config class, which fills in that class's defaults; only what
    differs from such a reading was meant.
    """
    if isinstance(given, config_class) or not hasattr(given, "to_dict"):
        return given
    untouched = type(given).from_pretrained(model_path).to_dict()
    config = config_class.from_pretrained(model_path)
    for key, value in given.to_dict().items():
        if key != "model_type" and (key not in untouched or untouched[key] != value):
            setattr(config, key, value)
    return config


def _extended_projector(original: Callable[..., Any]) -> Callable[..., Any]:
    """The host's `build_vision_projector`, knowing `sama_<base>`."""
    from sama_plugin.host.sama_llava import build_projector

    @functools.wraps(original)
    def build_vision_projector(config: Any, *args: Any, **kwargs: Any) -> Any:
        if str(getattr(config, "mm_projector_type", "linear")).startswith(PROJECTOR_PREFIX):
            return build_projector(config, vision_cfg=kwargs.get("vision_cfg"))
        return original(config, *args, **kwargs)

    return build_vision_projector


def _add_conversation_templates(conversation: ModuleType, undo: UndoLog) -> None:
    """Add our template names; roles, separators and `version` (training goes by it) are the host's."""
    templates = conversation.conv_templates
    for template in TEMPLATES.values():
        twin = dataclasses.replace(templates[template.host_name], messages=[])
        undo.set_item(templates, template.name, twin)
