"""Hosts of a TPU slice are told by the metadata server, here a false one."""

from __future__ import annotations

import http.server
import threading

import pytest
from jax._src.clusters import cloud_tpu_cluster

from mtmoe.engine.processes import tpu_vm
from mtmoe.engine.processes.environment import Start


@pytest.fixture
def metadata(monkeypatch, tmp_path):
    """Yields what the false server answers, of a host with chips."""
    answers = {"agent-worker-number": "1", "tpu-env": "ZONE: 'here'"}

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answer = answers.get(self.path.rpartition("/")[2])
            self.send_response(404 if answer is None else 200)
            self.end_headers()
            self.wfile.write((answer or "").encode())

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("GCE_METADATA_IP", f"127.0.0.1:{server.server_port}")
    monkeypatch.delenv("TPU_SKIP_MDS_QUERY", raising=False)
    monkeypatch.setattr(cloud_tpu_cluster, "running_in_cloud_tpu_vm", True)
    (tmp_path / "accel0").touch()
    monkeypatch.setattr(tpu_vm, "_DEVICES", tmp_path)
    yield answers
    server.shutdown()
    server.server_close()


def test_two_hosts_of_a_slice_are_two_processes(metadata):
    metadata["worker-network-endpoints"] = "a:1:10.0.0.1,b:2:10.0.0.2"
    assert tpu_vm.find_tpu_vm() == Start("the TPU VM")
    metadata["worker-network-endpoints"] = "a:1:10.0.0.1"
    assert tpu_vm.find_tpu_vm() is None


def test_a_host_without_chips_asks_nobody(monkeypatch, tmp_path):
    monkeypatch.setattr(tpu_vm, "_DEVICES", tmp_path)
    monkeypatch.setenv("GCE_METADATA_IP", "127.0.0.1:1")  # would fail
    assert tpu_vm.find_tpu_vm() is None
