"""A local server with the upload API of the Hugging Face hub: small files inline, weights by LFS."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hub:
    """The requests and files that the server received.

    Attributes:
        repos: by name, the request that created it.
        files: the contents by repository and file.
        tokens: every Authorization header.
        refuse: a status that every request is answered with.
    """

    url: str = ""
    repos: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    objects: dict[str, bytes] = field(default_factory=dict)
    refuse: int = 0


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_POST(self) -> None:
        body = self._body()
        if self.hub.refuse:
            self._answer({"error": "no"}, self.hub.refuse)
        elif self.path == "/api/repos/create":
            request = json.loads(body)
            name = "/".join(filter(None, (request.get("organization"), request["name"])))
            self.hub.repos[name] = request
            self._answer({"url": f"{self.hub.url}/{name}", "id": name, "name": name})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif self.path.endswith("/preupload/main"):
            self._answer({"files": [{"path": file["path"], "shouldIgnore": False, "oid": None, "uploadMode":
                                     "lfs" if file["path"].endswith((".bin", ".safetensors")) else "regular"}
                                    for file in json.loads(body)["files"]]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            self._answer({"transfer": "basic", "objects": [
                {**item, "actions": {"upload": {"href": f"{self.hub.url}/object/{item['oid']}"}}}
                for item in json.loads(body)["objects"]]})
        elif match := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            self._commit(match[1], body)
        else:
            self._answer({"error": f"unexpected {self.path}"}, 404)

    def do_PUT(self) -> None:
        self.hub.objects[self.path.rpartition("/")[2]] = self._body(keep_token=False)
        self._answer({})

    def do_GET(self) -> None:
        if match := re.fullmatch(r"/api/models/(.+?)(/revision/main)?", self.path):
            self._answer({"id": match[1], "sha": "0" * 40, "siblings": [], "private": True})
        else:
            self._answer({"error": f"unexpected {self.path}"}, 404)

    def _commit(self, repo: str, body: bytes) -> None:
        files = self.hub.files.setdefault(repo, {})
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
        self._answer({"commitUrl": f"{self.hub.url}/{repo}/commit/1", "commitOid": "1" * 40, "success": True})

    def _body(self, keep_token: bool = True) -> bytes:
        if keep_token:
            self.hub.tokens.add(self.headers.get("Authorization", ""))
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, content: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """Run a hub on a free port of this machine for the length of the block."""
    hub = Hub()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    hub.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield hub
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
