"""A Hub on loopback that keeps what it is sent, and checkpoints to send it."""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

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

    def at(self, revision: str) -> tuple[str, dict[str, bytes]]:
        oid = self.commits[-1][0] if revision == "main" else revision
        return oid, self.snapshots[oid]


class Hub(ThreadingHTTPServer):
    """The part of the Hub's HTTP interface that uploading and downloading a model takes.

    repositories: by name. blobs: LFS objects by SHA-256. requests: "METHOD path" of each request.
    broken: words of a path → HTTP status, or "hang". lfs: how the names end that are sent as large
    files. meanwhile: what happens while files are on their way, once.
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
        self.body = self._read_body()
        sent = self.headers.get("Authorization", "").removeprefix("Bearer ")
        for words, fault in self.server.broken.items():
            if words in f"{self.command} {path}":
                if fault == "hang":
                    self.server.released.wait()
                    return None
                # Some servers repeat what they were sent.
                return self._json({"error": f"refused {sent}"}, fault, self.server.headers)
        if sent:
            self.server.tokens.add(sent)
        parts = path.strip("/").split("/")
        if "resolve" in parts:
            return self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        if sent != TOKEN and not path.startswith("/blobs/"):
            return self._json({"error": "Invalid username or password."}, 401)
        if path == "/api/repos/create":
            return self._create(json.loads(self.body))
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if path.startswith("/blobs/"):
            return self._put_blob(parts[-1])
        if path.endswith("/info/lfs/objects/batch"):
            return self._batch(json.loads(self.body))
        name = "/".join(parts[2:4])
        if name not in self.server.repositories:
            return self._json(
                {"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"}
            )
        repository = self.server.repositories[name]
        if "preupload" in parts:
            return self._preupload(repository, json.loads(self.body))
        if "commit" in parts:
            return self._commit(name, repository, self.body)
        return self._info(name, repository)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

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

    def _preupload(self, repository, asked):
        if self.server.meanwhile:
            self.server.meanwhile()
            self.server.meanwhile = None
        files = []
        for file in asked["files"]:
            mode = "lfs" if file["path"].endswith(self.server.lfs) else "regular"
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False})
        self._json({"files": files})

    def _batch(self, asked):
        objects = []
        for wanted in asked["objects"]:
            action = {"upload": {"href": f"{self.server.url}/blobs/{wanted['oid']}"}}
            known = wanted["oid"] in self.server.blobs
            objects.append(wanted | ({} if known else {"actions": action}))
        self._json({"objects": objects, "transfer": "basic"})

    def _put_blob(self, oid):
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.server.blobs[oid] = self.body
        self._json({})

    def _commit(self, name, repository, body):
        lines = [json.loads(line) for line in body.splitlines()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        parent = header.get("parentCommit")
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
        oid = repository.commit(files, header["summary"])
        url = f"{self.server.url}/{name}/commit/{oid}"
        return self._json({"commitUrl": url, "commitOid": oid, "pullRequestUrl": None})

    def _resolve(self, name, revision, file):
        if name not in self.server.repositories:
            return self._json({"error": "none"}, 404, {"X-Error-Code": "RepoNotFound"})
        repository = self.server.repositories[name]
        if revision != "main" and revision not in repository.snapshots:
            return self._json({"error": "none"}, 404, {"X-Error-Code": "RevisionNotFound"})
        oid, files = repository.at(revision)
        if file not in files:
            headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": oid}
            return self._json({"error": "none"}, 404, headers)
        data = files[file]
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        return self._send(200, data, {"ETag": etag, "X-Repo-Commit": oid})

    def _json(self, value, status=200, headers=None):
        kind = {"Content-Type": "application/json"}
        self._send(status, json.dumps(value).encode(), kind | (headers or {}))

    def _send(self, status, data, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub that processes started now, and downloads in this one, take for the real one."""
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        "HF_ENDPOINT": server.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DOWNLOAD_TIMEOUT": "2",
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    # The client reads its variables when it is imported, and here it is imported already.
    constants = "huggingface_hub.constants"
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(f"{constants}.ENDPOINT", server.url)
    monkeypatch.setattr(f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(f"{constants}.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(f"{constants}.HF_HUB_OFFLINE", False)
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def token():
    """The token that the Hub accepts, and that is set in the environment."""
    return TOKEN


@pytest.fixture(scope="session")
def pictures():
    """The first digits of the test part."""
    return ListSource("digits", [image for image, _ in digits("test")[:16]])


@pytest.fixture(scope="session")
def _checkpoint(tmp_path_factory, pictures):
    path = tmp_path_factory.mktemp("quantized") / "vit_digits-w4a4.safetensors"
    settings = QuantizeSettings.build(bits="w4a4", method="rtn", samples=16, init_images=16)
    quantize(open_model("vit_digits"), pictures, settings).save(path)
    return path


@pytest.fixture
def checkpoint(_checkpoint):
    """The file of a `vit_digits` in w4a4."""
    return _checkpoint
