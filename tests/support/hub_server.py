"""A server on this machine that speaks the endpoints of the Hugging Face Hub which push and pull use.

Repositories are lists of commits; a commit maps names to contents. LFS objects are kept by digest. Written from the
requests that huggingface_hub makes, so that the real client is what the tests run.
"""

import base64
import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from werkzeug.serving import make_server

RunProgram = Callable[..., "subprocess.CompletedProcess[str]"]
_SMALL_BYTES = 2000  # larger files go through LFS


@dataclass
class Repository:
    """A repository of the server."""

    private: bool
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)

    def files(self, revision: str) -> dict[str, bytes] | None:
        """Return the files of a revision; None where there is no such one."""
        if revision == "main":
            return self.commits[-1][1]
        return dict(self.commits).get(revision)

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit, and return its name."""
        text = json.dumps(
            [len(self.commits), sorted((name, hashlib.sha1(data).hexdigest()) for name, data in files.items())]
        )
        name = hashlib.sha1(text.encode()).hexdigest()
        self.commits.append((name, dict(files)))
        return name


class HubServer:
    """The server: its repositories, the uploads it counted, and answers that a test asks it to give."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.puts: list[str] = []  # digests of LFS objects that were sent
        self.requests: list[str] = []
        self.refuse_puts_after: int | None = None
        self.address = ""

    def environment(self, home: Path) -> dict[str, str]:
        """Return the variables by which the client finds the server. home: where its cache is."""
        return {
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(home),
            "HF_TOKEN": "hf_test",
            "HF_HUB_DISABLE_XET": "1",  # the server speaks LFS, as mirrors do
        }

    def app(self) -> Flask:
        app = Flask(__name__)
        app.before_request(self._note)
        app.post("/api/repos/create")(self._create)
        app.post("/api/validate-yaml")(lambda: {"errors": [], "warnings": []})
        for kind in ("models", "datasets"):
            base = f"/api/{kind}/<org>/<name>"
            for rule, method, call in (
                (f"{base}", "GET", self._info),
                (f"{base}/revision/<path:revision>", "GET", self._info),
                (f"{base}/tree/<revision>", "GET", self._tree),
                (f"{base}/preupload/<path:revision>", "POST", self._preupload),
                (f"{base}/commit/<path:revision>", "POST", self._commit),
                (f"{base}/super-squash/<path:revision>", "POST", self._squash),
            ):
                app.add_url_rule(rule, f"{kind} {rule}", call, methods=[method])
            prefix = "" if kind == "models" else "/datasets"
            app.add_url_rule(
                f"{prefix}/<org>/<name>.git/info/lfs/objects/batch", f"{kind} lfs", self._batch, methods=["POST"]
            )
            app.add_url_rule(f"{prefix}/<org>/<name>/resolve/<revision>/<path:file>", f"{kind} file", self._file)
        app.put("/objects/<digest>")(self._put)
        return app

    def _note(self) -> None:
        self.requests.append(f"{request.method} {request.path}")

    def _create(self) -> Any:
        values = request.get_json()
        name = f"{values['organization']}/{values['name']}" if values.get("organization") else values["name"]
        if name in self.repositories:
            return {"error": "exists", "url": f"{self.address}/{name}"}, 409
        repository = self.repositories[name] = Repository(private=values.get("visibility") == "private")
        repository.commit({".gitattributes": b""})
        return {"url": f"{self.address}/{name}", "name": name, "id": name}

    def _get(self, org: str, name: str, revision: str = "main") -> tuple[Repository, dict[str, bytes], str] | Response:
        repository = self.repositories.get(f"{org}/{name}")
        if repository is None:
            return Response("{}", 404, {"X-Error-Code": "RepoNotFound"})
        files = repository.files(revision)
        if files is None:
            return Response("{}", 404, {"X-Error-Code": "RevisionNotFound"})
        commit = repository.commits[-1][0] if revision == "main" else revision
        return repository, files, commit

    def _info(self, org: str, name: str, revision: str = "main") -> Any:
        got = self._get(org, name, revision)
        if isinstance(got, Response):
            return got
        repository, files, commit = got
        return {
            "id": f"{org}/{name}",
            "sha": commit,
            "private": repository.private,
            "siblings": [{"rfilename": file} for file in files],
            "tags": [],
        }

    def _tree(self, org: str, name: str, revision: str) -> Any:
        got = self._get(org, name, revision)
        if isinstance(got, Response):
            return got
        return [_entry(file, data) for file, data in sorted(got[1].items())]

    def _preupload(self, org: str, name: str, revision: str) -> Any:
        return {
            "files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["size"] > _SMALL_BYTES else "regular",
                    "shouldIgnore": False,
                }
                for file in request.get_json()["files"]
            ]
        }

    def _batch(self, org: str, name: str) -> Any:
        objects = []
        for each in request.get_json(force=True)["objects"]:
            entry = {"oid": each["oid"], "size": each["size"], "authenticated": True}
            if each["oid"] not in self.objects:
                entry["actions"] = {"upload": {"href": f"{self.address}/objects/{each['oid']}", "header": {}}}
            objects.append(entry)
        return {"transfer": "basic", "objects": objects}

    def _put(self, digest: str) -> Any:
        if self.refuse_puts_after is not None and len(self.puts) >= self.refuse_puts_after:
            return Response("full", 507)
        data = request.get_data()
        assert hashlib.sha256(data).hexdigest() == digest
        self.objects[digest] = data
        self.puts.append(digest)
        return {}

    def _commit(self, org: str, name: str, revision: str) -> Any:
        repository = self.repositories[f"{org}/{name}"]
        head, files = repository.commits[-1]
        files = dict(files)
        for line in request.get_data().splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header" and value.get("parentCommit", head) != head:
                return Response('{"error": "A commit has happened since"}', 412)
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        commit = repository.commit(files)
        return {"commitUrl": f"{self.address}/{org}/{name}/commit/{commit}", "commitOid": commit}

    def _squash(self, org: str, name: str, revision: str) -> Any:
        repository = self.repositories[f"{org}/{name}"]
        files = repository.commits[-1][1]
        repository.commits = []
        repository.commit(files)
        return {}

    def _file(self, org: str, name: str, revision: str, file: str) -> Any:
        got = self._get(org, name, revision)
        if isinstance(got, Response):
            return got
        if file not in got[1]:
            return Response("", 404, {"X-Error-Code": "EntryNotFound"})
        data = got[1][file]
        digest = hashlib.sha256(data).hexdigest()
        headers = {"X-Repo-Commit": got[2], "ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        asked = request.headers.get("Range")
        if asked and request.method == "GET":
            start = int(asked.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return Response(data[start:], 206, headers)
        return Response(data, 200, headers)


def _entry(name: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "file",
        "path": name,
        "size": len(data),
        "oid": hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest(),
    }
    if len(data) > _SMALL_BYTES:
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return entry


@contextmanager
def serve_hub() -> Iterator[HubServer]:
    """Serve an empty Hub on this machine while inside."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    hub = HubServer()
    server = make_server("127.0.0.1", 0, hub.app(), threaded=True)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()


def program_beside(hub: HubServer, folder: Path, package: str) -> RunProgram:
    """Return a function that runs a program against the server: words, and more variables of the environment."""
    environment = os.environ | hub.environment(folder / "hf") | {"PYTHONPATH": os.pathsep.join(sys.path)}
    start = ["-c"] if package == "python" else ["-m", f"{package}.cli.main"]

    def run(*words: object, **more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, *start, *map(str, words)]
        return subprocess.run(command, env={**environment, **more}, capture_output=True, text=True, timeout=300)

    return run
