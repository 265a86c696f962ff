"""Machines for a trial: network namespaces on one bridge, each with a host name of its own and a line that can be cut.

Needs Linux, root and iproute2. Everything has a name of this run, and goes when the network is closed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

NET = "198.18.{net}"
"""Of the range that is set aside for trials of networks (RFC 2544)."""
N_NETS = 200


class NoMachinesError(Exception):
    """Namespaces cannot be made here; the text says why."""


def missing() -> str:
    """Why there can be no such machines here; empty if there can."""
    if os.geteuid() != 0:
        return "network namespaces can be made by root only: run it as root"
    for tool, package in (("ip", "iproute2"), ("unshare", "util-linux")):
        if not shutil.which(tool):
            return f"no `{tool}` here: install {package}"
    return ""


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise NoMachinesError(f"ip {' '.join(arguments)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


@dataclass(frozen=True)
class Machine:
    name: str
    address: str
    space: str
    line: str
    """The bridge's end of its line."""

    @property
    def within(self) -> tuple[str, ...]:
        """Before a command: run it on this machine. The process keeps its number."""
        become = f'hostname {self.name}; exec ip netns exec {self.space} "$@"'
        return ("unshare", "--uts", "sh", "-c", become, "sh")

    def cut(self) -> None:
        _ip("link", "set", self.line, "down")

    def mend(self) -> None:
        _ip("link", "set", self.line, "up")


@dataclass
class Network:
    """address is where the machines reach the process that made it."""

    name: str
    net: str
    machines: list[Machine] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"{self.net}.1"

    def open(self) -> None:
        _ip("link", "add", self.name, "type", "bridge")
        _ip("addr", "add", f"{self.address}/24", "dev", self.name)
        _ip("link", "set", self.name, "up")

    def add(self, name: str) -> Machine:
        number = len(self.machines) + 11
        machine = Machine(name, f"{self.net}.{number}", f"{self.name}-{number}", f"{self.name}-{number}")
        _ip("netns", "add", machine.space)
        self.machines.append(machine)
        _ip("link", "add", machine.line, "type", "veth", "peer", "name", "eth0", "netns", machine.space)
        _ip("link", "set", machine.line, "master", self.name, "up")
        _ip("-n", machine.space, "addr", "add", f"{machine.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", machine.space, "link", "set", device, "up")
        return machine

    def close(self) -> None:
        for machine in self.machines:
            with suppress(NoMachinesError):
                _kill_all(machine.space)
            with suppress(NoMachinesError):
                _ip("netns", "del", machine.space)
            with suppress(NoMachinesError):  # it goes with its namespace, a moment later
                _ip("link", "del", machine.line)
        with suppress(NoMachinesError):
            _ip("link", "del", self.name)


def _kill_all(space: str) -> None:
    """What still runs on the machine, until nothing does."""
    deadline = time.monotonic() + 10
    while (pids := _ip("netns", "pids", space).split()) and time.monotonic() < deadline:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.1)


@contextmanager
def a_network() -> Iterator[Network]:
    """Raises NoMachinesError where it cannot be made."""
    if why := missing():
        raise NoMachinesError(why)
    number = os.getpid() % N_NETS
    network = Network(f"ws{os.getpid()}", NET.format(net=number))
    try:
        network.open()
        yield network
    finally:
        network.close()
