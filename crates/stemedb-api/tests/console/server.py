"""Real servers over a small real data set, each in a folder of its own."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path


class Server:
    """The demonstration's claims (and more of the same kind), served."""

    def __init__(self, program: str, *, keys: bool = False, claims: Path | None = None):
        self.program = program
        self.folder = Path(tempfile.mkdtemp(prefix="stemedb-console-"))
        self.data = self.folder / "db"
        self.key = None
        self.keys = {}
        self._run("demo", "--data-dir", self.data)
        if claims:
            self._run("import", "--data-dir", self.data, claims)
        if keys:
            for scope in ("read", "admin", "write"):
                file = self.folder / f"{scope}.key"
                self._run("keys", "create", "--data-dir", self.data, "--scopes", scope, "--label", scope, "--out", file)
                self.keys[scope] = file.read_text().strip()
            self.key = self.keys["write"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        self.log = open(self.folder / "log", "wb")
        serve = [program, "serve", "--data-dir", self.data, "--bind", f"127.0.0.1:{port}", "--slow-query-ms", "0"]
        self.process = subprocess.Popen(serve, stdout=self.log, stderr=self.log)
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{self.base}/readyz", timeout=2).read()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text())

    def _run(self, *words):
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{words}: {done.stderr or done.stdout}")

    def get(self, path: str):
        request = urllib.request.Request(f"{self.base}{path}")
        if self.key:
            request.add_header("authorization", f"Bearer {self.keys['read']}")
        return json.load(urllib.request.urlopen(request, timeout=20))

    def post(self, path: str, body: dict):
        request = urllib.request.Request(f"{self.base}{path}", json.dumps(body).encode(), {"content-type": "application/json"})
        if self.key:
            request.add_header("authorization", f"Bearer {self.key}")
        try:
            return json.load(urllib.request.urlopen(request, timeout=20))
        except urllib.error.HTTPError as refused:
            raise RuntimeError(f"{path}: {refused.read()!r}") from refused

    def claim(self, subject, predicate, value, source, **more):
        return self.post("/v1/assert", {"subject": subject, "predicate": predicate, "object": value, "source": source, **more})

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def chromium() -> str:
    found = os.environ.get("STEMEDB_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        raise RuntimeError("no chromium on this machine")
    return found
