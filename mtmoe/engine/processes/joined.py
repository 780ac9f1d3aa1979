"""Several processes, joined by `jax.distributed`.

They find each other by the variables of the environment (`environment`), and talk
through the key-value store of JAX's coordination service: small texts, no devices.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, NoReturn

from mtmoe.engine.processes.alone import LOST_STATUS, Processes
from mtmoe.engine.processes.environment import Start, without_proxies
from mtmoe.engine.processes.native_errors import (
    AbortHandler,
    NativeErrors,
    dead_processes,
)
from mtmoe.errors import ConfigError

_POLL_SECONDS = 0.5
_GRACE_SECONDS = 2.0
_WAIT_MS = 1000
_FAREWELL_SECONDS = 5.0
_AGAIN = (
    "Start all processes again: the same command goes on from the newest checkpoint"
)


class JoinedProcesses(Processes):
    """The processes of a run of several, as one of them sees them.

    Attributes:
      has_left: whether this one has left the run, after the others and without error.
    """

    has_left = False

    def __init__(self, start: Start):
        """Joins the others, and waits for all of them.

        Raises:
          ConfigError: they did not find each other.
        """
        super().__init__()
        self.index, self.count = start.index or 0, start.count or 1
        self.heartbeat_seconds = start.heartbeat_seconds
        self._status: int | None = None
        self._calls: Counter[str] = Counter()
        self._given: dict[bool, str] = {}
        self._lock = threading.Lock()
        self._step = -1
        self._stop: tuple[int, int] | None = None  # step and signal
        self._over, self._wake = threading.Event(), threading.Event()
        self._start, self._joined = start, False
        only_errors = start.index not in (0, None)
        self._native = NativeErrors(only_errors)
        self._abort = AbortHandler(self._aborted)
        joined = _join(start)
        self._client, self._joined = joined.client, True
        # `jax.process_index` would take the devices, before the layout is known.
        self.index, self.count = joined.process_id, joined.num_processes
        if not self.is_first:
            sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")
        self.hosts = tuple(self.gather("hosts", socket.gethostname()))
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def complain(self, text: str) -> None:
        """Writes an error to stderr."""
        who = "" if self.is_first else f"{self.name()}: "
        self._native.write(f"mtmoe: {who}{text}\n")

    def gather(self, name: str, value: Any) -> list[Any]:
        """Returns what each process gave, through the key-value store."""
        self._calls[name] += 1
        call = self._calls[name]
        folder = f"mtmoe/gather/{name}/{call}"
        own = f"{folder}/{self.index}"
        self._client.key_value_set(own, json.dumps(value))
        texts = [self._get(f"{folder}/{i}") for i in range(self.count)]
        # Every process that came this far has read this thread's previous value.
        in_main = threading.current_thread() is threading.main_thread()
        if read := self._given.get(in_main):
            self._client.key_value_delete(read)
        self._given[in_main] = own
        return [json.loads(text) for text in texts]

    def request_stop(self, number: int) -> None:
        """Asks all processes to stop; the first request counts."""
        with contextlib.suppress(Exception):  # another was first
            self._client.key_value_set("mtmoe/news/stop", str(number))
        self._wake.set()

    def begin_steps(self, step: int) -> None:
        """Says where this process is."""
        with self._lock:
            self._step = step

    def stop_at(self, step: int) -> int | None:
        """Tells whether to stop after this step.

        It waits while the processes agree on a step, so that none goes beyond it.
        """
        with self._lock:
            self._step = step
            if self._stop is not None and step >= self._stop[0]:
                return self._stop[1]
        return None

    def note_failure(self, error: BaseException) -> None:
        """Waits for news of another process, if the error looks like its death."""
        from jax.errors import JaxRuntimeError

        text = str(error)
        signs = ("Gloo", "NCCL", "UNAVAILABLE", "DEADLINE", "Connection", "peer")
        if isinstance(error, JaxRuntimeError) or any(sign in text for sign in signs):
            time.sleep(self.heartbeat_seconds + _FAREWELL_SECONDS)

    def leave(self, status: int, reason: str | None = None) -> None:
        """Waits for the others, or tells them why it cannot."""
        self._status = status
        if reason is not None:
            self._fail(status, reason)
        self.barrier("leave")
        self._over.set()
        self._wake.set()
        self._watcher.join()
        import jax

        jax.distributed.shutdown()
        self._abort.close()
        self._native.close()
        self.has_left = True

    def _fail(self, status: int, reason: str) -> NoReturn:
        news = json.dumps({"status": status, "reason": reason[:2000]})
        with contextlib.suppress(Exception):
            self._client.key_value_set(f"mtmoe/news/ended/{self.index}", news)
            if self.is_first:  # the store goes with this process
                self._wait_for_farewells()
        self._exit(status)

    def _wait_for_farewells(self) -> None:
        until = time.monotonic() + _FAREWELL_SECONDS
        while time.monotonic() < until:
            gone = self._client.key_value_dir_get("mtmoe/news/ended/")
            if len(gone) == self.count:
                return
            time.sleep(_POLL_SECONDS / 5)

    def _get(self, key: str) -> str:
        """Waits for a key; if the process that sets it is dead, JAX ends this one."""
        while not self._over.is_set():
            try:
                return str(self._client.blocking_key_value_get(key, _WAIT_MS))
            except Exception as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise
        raise RuntimeError("the run is over")

    def _watch(self) -> None:
        """Looks for news: a process that ended with an error, a request to stop."""
        while not self._over.is_set():
            self._wake.wait(_POLL_SECONDS)
            self._wake.clear()
            try:
                news = dict(self._client.key_value_dir_get("mtmoe/news/"))
            except Exception:  # the first process is gone: JAX ends this one
                continue
            ended = {
                int(key.rpartition("/")[2]): text
                for key, text in news.items()
                if "/ended/" in key
            }
            ended.pop(self.index, None)
            if ended and not self._over.wait(_GRACE_SECONDS):
                self._follow(ended)
            if "mtmoe/news/stop" in news and self._stop is None:
                with contextlib.suppress(Exception):  # likewise
                    self._agree_on_stop(int(news["mtmoe/news/stop"]))

    def _agree_on_stop(self, number: int) -> None:
        """Stops all processes one step after the latest that any has begun."""
        with self._lock:
            self._client.key_value_set(f"mtmoe/stop_step/{self.index}", str(self._step))
            steps = [int(self._get(f"mtmoe/stop_step/{i}")) for i in range(self.count)]
            self._stop = (max(steps) + 1, number)

    def _follow(self, ended: Mapping[int, str]) -> NoReturn:
        """Ends because others have ended with an error."""
        index = min(ended)
        reason = json.loads(ended[index])["reason"]
        self.complain(f"{self.name(index)} ended: {reason}")
        self._fail(LOST_STATUS, f"{self.name(index)} ended")

    def _aborted(self) -> None:
        """Says which process is gone, where JAX's coordination ends this one."""
        text = self._native.fatal_text
        if self._status is not None and self._status != 0:
            self._exit(self._status)
        if not text:
            return
        if not self._joined:
            self.complain(_not_found(self._start, text.splitlines()[0]))
            self._exit(LOST_STATUS)
        dead = [i for i in dead_processes(text) if i != self.index]
        if dead:
            who = ", ".join(self.name(index) for index in dead)
            seconds = self.heartbeat_seconds
            self.complain(
                f"{who} is gone: killed, out of memory, its machine down, or out of "
                f"reach for {seconds} s. {_AGAIN}."
            )
        else:
            self.complain(f"the processes lost each other. {_AGAIN}.\n{text}")
        self._exit(LOST_STATUS)

    def _exit(self, status: int) -> NoReturn:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _join(start: Start) -> Any:
    """Joins the others; returns JAX's state: client, numbers of this and of all."""
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Signals are ours: `request_stop`.
    jax.config.update("jax_enable_preemption_service", False)
    jax.config.update("jax_check_proxy_envs", False)
    if start.coordinator is not None:
        proxies = without_proxies(start.coordinator, os.environ)
        os.environ["no_grpc_proxy"] = proxies
    arguments = {
        "coordinator_address": start.coordinator,
        "num_processes": start.count,
        "process_id": start.index,
        "initialization_timeout": start.start_seconds,
        "heartbeat_timeout_seconds": start.heartbeat_seconds,
    }
    if start.index is not None and start.coordinator is not None:
        arguments["cluster_detection_method"] = "deactivate"
    known = inspect.signature(jax.distributed.initialize).parameters
    try:
        jax.distributed.initialize(
            **{name: value for name, value in arguments.items() if name in known}
        )
    except Exception as error:
        raise ConfigError(_not_found(start, str(error))) from error
    from jax._src import distributed

    return distributed.global_state


def _not_found(start: Start, reason: str) -> str:
    who = "" if start.count is None else f"{start.count} "
    where = "" if start.coordinator is None else f" at {start.coordinator}"
    return (
        f"the {who}processes that {start.found_in} names did not find each "
        f"other{where} within {start.start_seconds} s. Is process 0 running, is its "
        "port free and open, are all of them started with the same count? "
        f"({reason.strip()[-200:]})"
    )
