"""A hub on this machine: as much of its HTTP as sending a folder and reading it again takes.

One token may read and write; without it repositories that are private are not there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

OWNER = "tester"
WRITER, READER = "hf_writer", "hf_reader"


@dataclass
class Repository:
    """Branches of files, by path."""

    private: bool = False
    gated: bool = False
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})
    messages: list[str] = field(default_factory=list)

    def sha(self, revision: str) -> str:
        files = self.branches[revision]
        listing = json.dumps({path: hashlib.sha1(files[path]).hexdigest() for path in sorted(files)})
        return hashlib.sha1(listing.encode()).hexdigest()

    def files_at(self, revision: str) -> dict[str, bytes] | None:
        for name, files in self.branches.items():
            if revision in (name, self.sha(name)):
                return files
        return None


class LocalHub(ThreadingHTTPServer):
    """Repositories by id, and big files by their sha256."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: LocalHub

    def log_message(self, *_: Any) -> None:
        pass

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _reply(self, content: Any = None, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content or {}).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str = "") -> None:
        self._reply({"error": code}, status, **({"X_Error_Code": code} if code else {}))

    def _repository(self, repo_id: str) -> Repository | None:
        """The repository if the token may see it; else the refusal is sent."""
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        found = self.server.repositories.get(repo_id)
        if found is None or (found.private and token not in (WRITER, READER)):
            self._refuse(404 if token else 401, "RepoNotFound")
            return None
        if found.gated and token != WRITER:
            self._refuse(403, "GatedRepo")
            return None
        return found

    def do_POST(self) -> None:
        body = self._body()
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        path = self.path.partition("?")[0]
        if path == "/api/validate-yaml":
            return self._reply({"errors": [], "warnings": []})
        if token != WRITER:
            return self._refuse(401 if token != READER else 403)
        if path == "/api/repos/create":
            asked = json.loads(body)
            repo_id = f"{asked.get('organization') or OWNER}/{asked['name']}"
            known = repo_id in self.server.repositories
            self.server.repositories.setdefault(repo_id, Repository(bool(asked.get("private"))))
            return self._reply({"url": f"{self.server.url}/{repo_id}"}, 409 if known else 200)
        if match := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            objects = json.loads(body)["objects"]
            for one in objects:
                one["actions"] = {"upload": {"href": f"{self.server.url}/objects/{one['oid']}"}}
            return self._reply({"objects": objects, "transfer": "basic"})
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit|branch)/(.+)", path)
        assert match is not None, path
        repository = self.server.repositories[match[1]]
        return getattr(self, f"_{match[2]}")(repository, match[1], match[3], body)

    def _preupload(self, repository: Repository, repo_id: str, revision: str, body: bytes) -> None:
        files = json.loads(body)["files"]
        modes = {
            path: "lfs" if path.endswith(".safetensors") else "regular" for path in (f["path"] for f in files)
        }
        self._reply(
            {"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]}
        )

    def _branch(self, repository: Repository, repo_id: str, revision: str, body: bytes) -> None:
        known = revision in repository.branches
        repository.branches.setdefault(revision, dict(repository.branches["main"]))
        self._reply({}, 409 if known else 200)

    def _commit(self, repository: Repository, repo_id: str, revision: str, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                repository.messages.append(value["summary"])
            elif line["key"] == "file":
                repository.branches[revision][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.branches[revision][value["path"]] = self.server.objects[value["oid"]]
        oid = repository.sha(revision)
        self._reply(
            {"success": True, "commitOid": oid, "commitUrl": f"{self.server.url}/{repo_id}/commit/{oid}"}
        )

    def do_PUT(self) -> None:
        content = self._body()
        self.server.objects[hashlib.sha256(content).hexdigest()] = content
        self._reply()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            repo_id, revision = match[1], match[2] or "main"
            if (repository := self._repository(repo_id)) is None:
                return None
            if (files := repository.files_at(revision)) is None:
                return self._refuse(404, "RevisionNotFound")
            sha = revision if revision not in repository.branches else repository.sha(revision)
            return self._reply({"id": repo_id, "sha": sha, "siblings": [{"rfilename": p} for p in files]})
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        assert match is not None, path
        if (repository := self._repository(match[1])) is None:
            return None
        files = repository.files_at(match[2])
        if files is None or match[3] not in files:
            return self._refuse(404, "RevisionNotFound" if files is None else "EntryNotFound")
        content = files[match[3]]
        sha = repository.sha(match[2]) if match[2] in repository.branches else match[2]
        return self._reply(content, ETag=f'"{hashlib.sha256(content).hexdigest()}"', X_Repo_Commit=sha)

    do_HEAD = do_GET  # noqa: N815


@contextmanager
def running_hub(monkeypatch: pytest.MonkeyPatch, cache: Any) -> Iterator[LocalHub]:
    """A hub to which `huggingface_hub` goes, online, with an empty cache and no stored token."""
    from huggingface_hub import constants, file_download
    from huggingface_hub.utils import reset_sessions

    hub = LocalHub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("transformers.utils.hub._is_offline_mode", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    reset_sessions()
    yield hub
    hub.shutdown()
    hub.server_close()
    reset_sessions()
