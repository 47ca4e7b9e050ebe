"""`data_configs/*.yaml` → samples: the host's list of datasets, extended by masks, frames, kinds, tasks and weights.

datasets:
  - form: sama239k                         # of the records, see `data.sources.forms`; default sama239k
    json_path: shapes/train/records.json   # relative to --video_folder (--root), or ${A_VARIABLE}/...
    mask_path: shapes/train/mask_dict.json # forms without masks need none
    video_root: shapes/train
    index_path: somewhere/else.index       # default: beside the records, where `sama data prepare` puts it
    part: either                           # conversation, else descriptions; or one of: conversation, description, both
    frames: clip                           # or `single`: one frame per example
    kinds: [name, attribute]               # only these kinds of question; default all
    tasks: [referring, none]               # only questions of these tasks; default all
    merge: 1                               # neighbouring dialogues about one video in one example
    repeat: 1
    task: general                          # default: the task of a dialogue's first turn
include: paper_public.yaml                 # entries of another file (or a list of files) before these
weights: {grounding: 2}                    # share of a task in an epoch relative to the others; default 1
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from sama_plugin.config import config_from_dict
from sama_plugin.data.selection import Selection
from sama_plugin.data.sources.forms import FORMS, SourceFiles
from sama_plugin.data.sources.sama239k import PARTS
from sama_plugin.errors import DataError

SHOWN_MISSING = 3
ROOT_VARIABLE = "SAMA_ROOT"
"""A variable of paths that the root folder of a run stands in for where the environment has none."""

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
PATH_FIELDS = ("json_path", "mask_path", "video_root", "index_path")


@dataclass(frozen=True)
class SourceConfig:
    """One entry of a mixture.

    Attributes:
        json_path, mask_path, video_root: relative to the data root, or with variables; what a form does not need may
            be left out.
        form: of the records, a key of `FORMS`.
        index_path: of the records; empty looks beside them.
        part: what is made of a record, one of `sama239k.PARTS`.
        frames: `clip`, or `single` for one frame per example.
        kinds: kinds of question kept, the rest of a dialogue is left out; empty keeps dialogues whole.
        tasks: likewise, by the task a question exercises.
        merge: so many neighbouring dialogues about one video become one example, which encodes the video once.
        repeat: how often the source is listed in an epoch.
        task: counts for balancing in place of the dialogues' own tasks, e.g. `general`; empty keeps those.
    """

    json_path: str
    mask_path: str = ""
    video_root: str = ""
    form: str = "sama239k"
    index_path: str = ""
    part: str = "either"
    frames: str = "clip"
    kinds: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    merge: int = 1
    repeat: int = 1
    task: str = ""

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            near = difflib.get_close_matches(str(self.form), FORMS, n=3) or sorted(FORMS)
            raise DataError(
                f"{self.json_path}: form is {self.form!r}, which there is not; did you mean {', '.join(near)}?"
            )
        for name in PATH_FIELDS:
            if not isinstance(value := getattr(self, name), str):
                raise DataError(f"{self.json_path}: {name} is {value!r}, expected a path.")
        if missing := [name for name in FORMS[self.form].needs if not getattr(self, name)]:
            raise DataError(
                f"{self.json_path} lacks {', '.join(missing)}, which records of form '{self.form}' need."
            )
        if self.part not in PARTS:
            raise DataError(f"{self.json_path}: part is {self.part!r}, expected one of {', '.join(PARTS)}.")
        if self.frames not in ("clip", "single"):
            raise DataError(f"{self.json_path}: frames is '{self.frames}', expected 'clip' or 'single'.")
        for name, values in (("kinds", self.kinds), ("tasks", self.tasks)):
            if not isinstance(values, tuple):
                raise DataError(
                    f"{self.json_path}: {name} is {values!r}, expected a list of {name} of question."
                )
        for name, value in (("merge", self.merge), ("repeat", self.repeat)):
            if not isinstance(value, int) or value < 1:
                raise DataError(f"{self.json_path}: {name} is {value!r}, expected a whole number from 1.")


class Entry(NamedTuple):
    """One entry of a mixture and where it stands, such as `line 7` or `paper_public.yaml, line 7`."""

    source: SourceConfig
    place: str


def read_mixture(path: Path) -> list[SourceConfig]:
    """Parse a mixture file and those that it includes.

    Raises:
        DataError: missing, malformed, or with unknown keys.
    """
    return [entry.source for entry in read_entries(path)]


def read_entries(path: Path) -> list[Entry]:
    """The same, each entry with its place.

    Raises:
        DataError: see `read_mixture`.
    """
    entries = []
    for file in mixture_files(path):
        content, lines = _read_content(file), _entry_lines(file)
        for i, (entry, line) in enumerate(zip(content["datasets"], lines, strict=True)):
            place = f"line {line}" if file == path else f"{file.name}, line {line}"
            entries.append(Entry(_read_entry(entry, f"{file}: datasets[{i}]"), place))
    return entries


def mixture_files(path: Path) -> list[Path]:
    """The files of a mixture: those it includes, in their order, then itself.

    Raises:
        DataError: see `read_mixture`; or it includes what is no name of a file beside it, or includes other files.
    """
    included = _read_yaml(path).get("include", [])
    names = included if isinstance(included, list) else [included]
    if not all(isinstance(name, str) and name for name in names):
        raise DataError(f"{path}: include is {included!r}, expected names of mixture files beside it.")
    files = [path.parent / name for name in names]
    for file in files:
        if "include" in _read_yaml(file):
            raise DataError(
                f"{file} is included by {path}, so it cannot include others; list them in {path.name}."
            )
    return [*files, path]


def _read_yaml(path: Path) -> dict[str, Any]:
    """What a file maps."""
    try:
        content: Any = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; give a file of data_configs/.") from error
    except yaml.YAMLError as error:
        raise DataError(f"{path} is not valid YAML: {error}") from error
    return content if isinstance(content, dict) else {}


def _read_content(path: Path) -> dict[str, Any]:
    """The same, with the keys that a mixture has."""
    content = _read_yaml(path)
    if not isinstance(content.get("datasets"), list) or not content["datasets"]:
        raise DataError(f"{path} has no 'datasets' list; see data_configs/ for examples.")
    if unknown := set(content) - {"datasets", "include", "weights"}:
        raise DataError(
            f"{path} has {', '.join(map(repr, sorted(unknown)))}, expected 'datasets', 'include' and 'weights'."
        )
    return content


def _read_entry(entry: Any, where: str) -> SourceConfig:
    try:
        return config_from_dict(SourceConfig, entry, where)
    except DataError as error:
        raise error if str(error).startswith(where) else DataError(f"{where}: {error}") from error


def read_task_weights(path: Path) -> dict[str, float]:
    """`weights` of a well-formed mixture file: task → share of an epoch relative to the others; 1 where not given.

    Raises:
        DataError: no mapping of names to numbers.
    """
    weights = yaml.safe_load(path.read_text()).get("weights") or {}
    if not isinstance(weights, dict) or not all(isinstance(value, int | float) for value in weights.values()):
        raise DataError(
            f"{path}: weights is {weights!r}, expected numbers by task, such as {{grounding: 2}}."
        )
    return {str(task): float(value) for task, value in weights.items()}


def resolve_paths(source: SourceConfig, root: Path, environment: Mapping[str, str]) -> SourceConfig:
    """The entry with its variables filled in and its paths made whole.

    Args:
        source: as in the file; `${NAME}` in a path is a variable.
        root: folder that relative paths begin at; it also stands for `${SAMA_ROOT}` where the environment has none.
        environment: variables and their values.

    Raises:
        DataError: variables that are not set; says which, and how to set them.
    """
    known = dict(environment)
    if root != Path():
        known.setdefault(ROOT_VARIABLE, str(root))
    paths = {name: value for name in PATH_FIELDS if (value := getattr(source, name))}
    unset = {name for value in paths.values() for name in VARIABLE.findall(value) if not known.get(name)}
    if unset:
        how = " ".join(f"export {name}=/path/to/its/folder" for name in sorted(unset))
        names = ", ".join(f"${{{name}}}" for name in sorted(unset))
        own = f" (or give {ROOT_VARIABLE} as --root)" if ROOT_VARIABLE in unset else ""
        raise DataError(f"{names} is not set; run: {how}{own}")
    filled: dict[str, Any] = {
        name: str(root / VARIABLE.sub(lambda match: known[match[1]], value)) for name, value in paths.items()
    }
    return dataclasses.replace(source, **filled)


def read_source(source: SourceConfig, root: Path, environment: Mapping[str, str] = os.environ) -> Selection:
    """Examples of one source, `repeat` times; read on access where the source has an index.

    Raises:
        DataError: variables that are not set, missing or malformed files, or nothing left.
    """
    source = resolve_paths(source, root, environment)
    selection = Selection(
        FORMS[source.form].read(_files_of(source)),
        kinds=source.kinds,
        tasks=source.tasks,
        merge=source.merge,
        repeat=source.repeat,
    )
    if not selection:
        kinds, tasks = (", ".join(values) or "any" for values in (source.kinds, source.tasks))
        raise DataError(f"{source.json_path} has no question of kinds {kinds} and tasks {tasks}.")
    return selection


def _files_of(source: SourceConfig) -> SourceFiles:
    records = Path(source.json_path)
    return SourceFiles(
        records,
        Path(source.mask_path) if source.mask_path else None,
        Path(source.video_root) if source.video_root else records.parent,
        Path(source.index_path) if source.index_path else None,
        source.part,
    )


def read_sources(
    path: Path, root: Path, environment: Mapping[str, str] = os.environ
) -> list[tuple[SourceConfig, Selection]]:
    """Every source of a mixture file with its examples, all faults found before any work is done.

    Args:
        path: a file of `data_configs/`.
        root: folder its paths are relative to.
        environment: variables for its paths, see `resolve_paths`.

    Raises:
        DataError: all unset variables, missing or malformed files and missing videos at once, each with its line in
            the file.
    """
    found: list[tuple[SourceConfig, Selection]] = []
    faults: dict[str, list[str]] = {}  # the same one is told once, with all its places
    for source, place in read_entries(path):
        try:
            whole = resolve_paths(source, root, environment)
            _check_files(whole)
            selection = read_source(source, root, environment)
            _check_videos(selection)
        except DataError as error:
            faults.setdefault(str(error).rstrip("."), []).append(place)
            continue
        found.append((source, selection))
    if faults:
        told = "; ".join(f"{' and '.join(places)}: {fault}" for fault, places in faults.items())
        raise DataError(f"{path}: {told}. Mend these entries or their files, then start again.")
    return found


def _check_files(source: SourceConfig) -> None:
    """Refuse an entry whose files are not there."""
    files = [name for name in (source.json_path, source.mask_path) if name]
    if absent := [name for name in files if not Path(name).exists()]:
        raise DataError(f"no file {' and no file '.join(absent)}")


def _check_videos(selection: Selection) -> None:
    """Refuse an entry whose videos are not there."""
    missing = sorted(video for video in selection.videos if not Path(video).exists())
    if missing:
        shown = ", ".join(missing[:SHOWN_MISSING])
        raise DataError(f"{len(missing)} of {len(selection.videos)} videos are missing, such as {shown}")


def _entry_lines(path: Path) -> list[int]:
    """Line of each entry of a well-formed mixture file, 1-based."""
    document: Any = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
    datasets = next(value for key, value in document.value if key.value == "datasets")
    return [entry.start_mark.line + 1 for entry in datasets.value]
