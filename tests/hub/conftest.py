"""A Hub on loopback that keeps what it is sent, and checkpoints to send it."""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml

from vitquant.config.quantize import QuantizeSettings
from vitquant.data.image_source import ListSource
from vitquant.data.sources.digits import digits
from vitquant.workflows.open import open_model
from vitquant.workflows.ptq import quantize

TOKEN = "hf_" + "SecretOfTheTests" * 2


@dataclass
class Repository:
    """A repository as its commits have left it. commits: (oid, message), the newest last."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[tuple[str, str]] = field(default_factory=list)
    snapshots: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], message: str) -> str:
        oid = hashlib.sha1(f"{len(self.commits)} {message}".encode()).hexdigest()
        self.files = files
        self.commits.append((oid, message))
        self.snapshots[oid] = files
        return oid


def front_matter(repository: Repository) -> dict:
    """Of a repository's card; empty without one."""
    parts = repository.files.get("README.md", b"").decode().split("---\n")
    return yaml.safe_load(parts[1]) if len(parts) > 2 else {}


class Hub(ThreadingHTTPServer):
    """The part of the Hub's HTTP interface that uploading and downloading a model takes.

    repositories: by name. blobs: LFS objects by SHA-256. requests: "METHOD path" of each request.
    broken: words of a path → HTTP status, "hang", "lose": do it, and hang, or "trickle": answer a
    letter at a time until released. lfs: how the names end that are sent as large files.
    meanwhile: what happens while files are on their way, once.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.tokens: set[str] = set()
        self.broken: dict[str, int | str] = {}
        self.headers: dict[str, str] = {}
        self.lfs = (".safetensors", ".onnx")
        self.meanwhile = None
        self.released = threading.Event()

    def hold(self, name: str, files: dict[str, bytes]) -> None:
        """Have a public repository with these files."""
        self.repositories[name] = Repository(private=False)
        self.repositories[name].commit(files, "first")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One request. Every answer says its length, so that connections can be kept."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *arguments):
        pass

    def handle_any(self):
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sent = self.headers.get("Authorization", "").removeprefix("Bearer ")
        found = [words for words in self.server.broken if words in f"{self.command} {path}"]
        self.fault = self.server.broken[found[0]] if found else None
        if self.fault == "hang":
            return self.server.released.wait()
        if isinstance(self.fault, int):  # some servers repeat what they were sent
            return self._json({"error": f"refused {sent}"}, self.fault, self.server.headers)
        if sent:
            self.server.tokens.add(sent)
        parts = path.strip("/").split("/")
        if "resolve" in parts:
            return self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        if path == "/api/models":
            return self._list(parse_qs(urlsplit(self.path).query).get("filter", []))
        name = "/".join(parts[2:4])
        known = self.server.repositories.get(name)
        if self.command == "GET" and known is not None and not known.private:
            if "tree" in parts:
                return self._tree(known)
            return self._log(known) if "commits" in parts else self._info(name, known)
        if sent != TOKEN and not path.startswith("/blobs/"):
            return self._json({"error": "Invalid username or password."}, 401)
        if path == "/api/repos/create":
            return self._create(json.loads(self.body))
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if path.startswith("/blobs/"):
            self.server.blobs[hashlib.sha256(self.body).hexdigest()] = self.body
            return self._json({})
        if path.endswith("/info/lfs/objects/batch"):
            return self._batch(json.loads(self.body))
        if name not in self.server.repositories:
            return self._missing("Repo")
        repository = self.server.repositories[name]
        if "commits" in parts:
            return self._log(repository)
        if "preupload" in parts:
            return self._preupload(repository, json.loads(self.body))
        if "commit" in parts:
            return self._commit(name, repository)
        return self._info(name, repository)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815

    def _create(self, asked):
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.server.repositories:
            return self._json({"error": "You already created this model repo"}, 409)
        private = asked.get("private") or asked.get("visibility") == "private"
        self.server.repositories[name] = Repository(bool(private))
        return self._json({"url": f"{self.server.url}/{name}"})

    def _info(self, name, repository):
        oid = repository.commits[-1][0] if repository.commits else None
        files = [{"rfilename": file} for file in repository.files]
        self._json({"id": name, "private": repository.private, "sha": oid, "siblings": files})

    def _list(self, wanted):
        """The public repositories whose cards have all tags that are wanted."""
        found = [
            {"id": name, "tags": sorted(tags)}
            for name, repository in self.server.repositories.items()
            if not repository.private
            and set(wanted) <= (tags := set(front_matter(repository).get("tags", [])))
        ]
        self._json(found)

    def _tree(self, repository):
        entries = [
            {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for path, data in repository.files.items()
        ]
        self._json(entries)

    def _preupload(self, repository, asked):
        if self.server.meanwhile:
            self.server.meanwhile()
            self.server.meanwhile = None
        for file in asked["files"]:
            file["uploadMode"] = "lfs" if file["path"].endswith(self.server.lfs) else "regular"
            file["shouldIgnore"] = False
        self._json(asked)

    def _batch(self, asked):
        for wanted in asked["objects"]:
            if wanted["oid"] not in self.server.blobs:
                href = f"{self.server.url}/blobs/{wanted['oid']}"
                wanted["actions"] = {"upload": {"href": href}}
        self._json({"objects": asked["objects"], "transfer": "basic"})

    def _commit(self, name, repository):
        lines = [json.loads(line) for line in self.body.splitlines()]
        parent = lines[0]["value"].get("parentCommit")
        if parent is not None and parent != repository.commits[-1][0]:
            return self._json({"error": "Precondition failed"}, 412)
        files = dict(repository.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        oid = repository.commit(files, lines[0]["value"]["summary"])
        url = f"{self.server.url}/{name}/commit/{oid}"
        return self._json({"commitUrl": url, "commitOid": oid, "pullRequestUrl": None})

    def _log(self, repository):
        same = {"authors": [], "date": "2024-01-01T00:00:00.000Z", "message": ""}
        commits = [same | {"id": oid, "title": title} for oid, title in repository.commits]
        self._json(commits[::-1])

    def _resolve(self, name, revision, file):
        if name not in self.server.repositories:
            return self._missing("Repo")
        repository = self.server.repositories[name]
        oid = repository.commits[-1][0] if revision == "main" else revision
        files = repository.snapshots.get(oid)
        if files is None:
            return self._missing("Revision")
        if file not in files:
            return self._missing("Entry", {"X-Repo-Commit": oid})
        etag = f'"{hashlib.sha256(files[file]).hexdigest()}"'
        return self._send(200, files[file], {"ETag": etag, "X-Repo-Commit": oid})

    def _missing(self, what, headers=None):
        code = {"X-Error-Code": f"{what}NotFound"}
        self._json({"error": f"{what} not found"}, 404, code | (headers or {}))

    def _json(self, value, status=200, headers=None):
        headers = {"Content-Type": "application/json"} | (headers or {})
        self._send(status, json.dumps(value).encode(), headers)

    def _send(self, status, data, headers):
        if self.fault == "lose":
            self.server.released.wait()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        while self.fault == "trickle" and not self.server.released.wait(0.5) and len(data) > 1:
            self.wfile.write(data[:1])
            data = data[1:]
        if self.command != "HEAD":
            self.wfile.write(data)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub that this process, and those that it starts, take for the real one."""
    server, home = Hub(), tmp_path / "hf"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {"HF_ENDPOINT": server.url, "HF_TOKEN": TOKEN, "HF_HOME": str(home)}
    environment |= {"HF_HUB_DOWNLOAD_TIMEOUT": "2", "NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "0"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # The client reads most of its variables when it is imported, and here it is imported already.
    constants = {
        "ENDPOINT": server.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_OFFLINE": False,
    }
    for name, value in constants.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", server.url)
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def token():
    """The token that the Hub accepts, and that is set in the environment."""
    return TOKEN


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The file of a `vit_digits` in w4a4."""
    path = tmp_path_factory.mktemp("quantized") / "vit_digits-w4a4.safetensors"
    images = ListSource("digits", [image for image, _ in digits("test")[:16]])
    settings = QuantizeSettings.build(bits="w4a4", method="rtn", samples=16, init_images=16)
    quantize(open_model("vit_digits"), images, settings).save(path)
    return path
