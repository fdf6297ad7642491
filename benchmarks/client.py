"""What the benchmarks ask a running grid for, over one kept-alive connection: plain HTTP, as any client could."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.grid import Grid

TIMEOUT_S = 900.0
_WAIT_S = 30
TASK = {"memory_mb": 64, "disk_mb": 16, "cpus": 1}  # what each task asks for: one at a time per core


class Api:
    """One client."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._connection = grid.connect()
        self._sent: dict[Path, str] = {}

    def call(self, method: str, path: str, body: bytes = b"") -> Any:
        """One call, decoded; a connection that the server closed is made anew once."""
        try:
            return self._grid.call(self._connection, method, path, body)
        except (http.client.RemoteDisconnected, http.client.CannotSendRequest, BrokenPipeError, ConnectionResetError):
            self._connection.close()
            self._connection = self._grid.connect()
            return self._grid.call(self._connection, method, path, body)

    def module(self, path: Path) -> str:
        """The digest of a module, which is sent the first time."""
        if path not in self._sent:
            self._sent[path] = self.put("modules", path.read_bytes())
        return self._sent[path]

    def put(self, kind: str, data: bytes) -> str:
        """Send modules or inputs ahead; the digest."""
        digest = hashlib.sha256(data).hexdigest()
        self.call("PUT", f"/v1/{kind}/{digest}", data)
        return digest

    def array(self, digest: str, indexes: str, **more: Any) -> Any:
        """Submit a job with a task per index, which gets it as its argument."""
        return self.submit({"module_sha256": digest, "array": indexes, "args": ["{index}"], **TASK, **more})

    def submit(self, spec: dict[str, Any], wait_s: int = 0) -> Any:
        """Submit one job."""
        return self.call("POST", f"/v1/jobs?wait={wait_s}" if wait_s else "/v1/jobs", json.dumps(spec).encode())

    def finish(self, job_id: int) -> Any:
        """The job once it has ended well; anything else raises."""
        until = time.monotonic() + TIMEOUT_S
        while time.monotonic() < until:
            job = self.call("GET", f"/v1/jobs/{job_id}?wait={_WAIT_S}")
            if job["finished"]:
                if job["state"] != "succeeded":
                    raise RuntimeError(f"job {job_id}: {job['state']}, {job['state_reason']}, {job['task_counts']}")
                return job
        raise RuntimeError(f"job {job_id} took more than {TIMEOUT_S:.0f} s")

    def output(self, job_id: int, index: int) -> bytes:
        """What a task printed."""
        headers = {"Authorization": f"Bearer {self._grid.token}"}
        self._connection.request("GET", f"/v1/jobs/{job_id}/stdout?index={index}", headers=headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"the output of task {index} of job {job_id}: {response.status} {body[:300]!r}")
        return body
