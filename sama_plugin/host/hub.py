"""Checkpoint folders from and to the Hugging Face hub; what goes wrong there is told in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, get_token, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from sama_plugin.errors import CheckpointError

logger = logging.getLogger(__name__)

HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "revision", "token", "subfolder")
"""What says where and how a repository is read, in every `from_pretrained`."""

SENT_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".jinja", ".md", ".png", ".jpg", ".gif")
SENT_NAMES = ("LICENSE", "NOTICE")
NEVER_SENT = ("trainer_state.json",)
"""A training leaves its state beside the checkpoint; pickled files (`.bin`, `.pt`) have no suffix that is sent."""

LOG_IN = "log in with `hf auth login`, or give a token that may"


def resolve_folder(model_path: str, *, subfolder: str = "", **hub_arguments: Any) -> Path:
    """A local folder as it is, a hub id as its downloaded (or cached) snapshot.

    Args:
        model_path: a folder or `owner/name`.
        subfolder: of the folder or repository.
        **hub_arguments: `revision`, `token`, `cache_dir`, `local_files_only`, `force_download`.

    Raises:
        CheckpointError: neither a folder nor a repository that can be had.
    """
    folder = Path(model_path).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or str(model_path).startswith((".", "~")) or str(model_path).count("/") != 1:
            raise CheckpointError(
                f"Checkpoint folder {model_path} does not exist; give a folder or a hub id `owner/name`."
            )
        folder = fetch_folder(str(model_path), **hub_arguments)
    return folder / (subfolder or "")


def fetch_folder(repo_id: str, **hub_arguments: Any) -> Path:
    """Folder of a hub repository, out of the cache or downloaded into it.

    Args:
        repo_id: `owner/name`.
        **hub_arguments: of `HUB_ARGUMENTS`.

    Raises:
        CheckpointError: there is no such repository or revision, it may not be read, or it cannot be reached.
    """
    with _told_in_one_line(f"'{repo_id}' is no folder, and as a hub repository it", "read"):
        return Path(snapshot_download(repo_id, **hub_arguments))


def send_folder(
    folder: Path,
    repo_id: str,
    *,
    commit_message: str = "Upload a SAMA checkpoint",
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> Any:
    """Send a checkpoint folder to the hub; the repository is made if it is not there.

    Args:
        folder: a whole checkpoint.
        repo_id: `owner/name`, or `name` of the token's owner.
        commit_message: of the one commit.
        private: whether a new repository is; None as the owner's settings have it.
        token: that may write; the one stored by `hf auth login` if None.
        revision: branch; made if it is not there. `main` if None.
        create_pr: propose the commit instead of making it.

    Returns:
        `CommitInfo` of huggingface_hub, with `commit_url`.

    Raises:
        CheckpointError: no token, one that may not write, or a hub that cannot be reached.
    """
    if token is None and get_token() is None:
        raise CheckpointError(
            f"'{repo_id}' cannot be written without a token: log in with `hf auth login`, set HF_TOKEN, or give token=."
        )
    files = sent_files(folder)
    api = HfApi(token=token)
    with _told_in_one_line(f"Hub repository '{repo_id}'", "written"):
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if revision is not None and not create_pr:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        sent = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            allow_patterns=[_as_pattern(name) for name in files],
            commit_message=commit_message,
            revision=revision,
            create_pr=create_pr,
        )
    logger.info("Sent %d files of %s: %s", len(files), folder, sent)
    return sent


def sent_files(folder: Path) -> list[str]:
    """Files of a checkpoint folder that go to the hub, by their path inside it: its own, and of its parts.

    Hidden files, other folders (checkpoints of a training, logs), pickles and the state of a training stay.
    """
    places = (folder, folder / "sam2", folder / "vision_tower")
    return sorted(
        path.relative_to(folder).as_posix()
        for place in places
        if place.is_dir()
        for path in place.iterdir()
        if path.is_file()
        and not path.name.startswith(".")
        and path.name not in NEVER_SENT
        and (path.suffix in SENT_SUFFIXES or path.name in SENT_NAMES)
    )


def _as_pattern(name: str) -> str:
    """A pattern that matches this name alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


@contextmanager
def _told_in_one_line(what: str, done: str) -> Iterator[None]:
    """The hub's errors as one of ours.

    Args:
        what: begins the sentence.
        done: `read` or `written`.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a file that does not get through
        cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else None
        reason = _reason(cause if isinstance(cause, HfHubHTTPError) else error, done)
        raise CheckpointError(f"{what} cannot be {done}: {reason}") from error


def _reason(error: Exception, done: str) -> str:
    """Why the hub could not do it, and what to do."""
    verb = {"read": "read", "written": "write"}[done]
    if isinstance(error, HFValidationError):
        return "its name is none the hub allows, which are `owner/name` of letters, digits, '-', '_' and '.'."
    if isinstance(error, GatedRepoError):
        return "it is gated; ask for access on its page, then " + LOG_IN + f" {verb} it."
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision; look at its branches and tags."
    if isinstance(error, RepositoryNotFoundError):
        return f"it does not exist, or it is private and the token is missing or may not; {LOG_IN} {verb} it."
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set; unset it."
    if isinstance(error, LocalEntryNotFoundError):
        return "it is not in the cache, and the hub is not reached (no network, or HF_HUB_OFFLINE is set)."
    status = (
        error.response.status_code
        if isinstance(error, HfHubHTTPError) and error.response is not None
        else None
    )
    if status in (401, 403):
        return f"the hub refuses the token ({status}); {LOG_IN} {verb} it."
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
