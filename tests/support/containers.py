"""Run services of docker/compose.yaml without a container engine: in namespaces of the kernel, as locked as there.

A service gets a network of its own with no way out, its own processes, a read-only root with a fresh /tmp and home,
user 10001 without capabilities, and raw video that it can only read. Needs root, and `ip`, `unshare` and `setpriv`.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker/compose.yaml"
USER = 10001
_PREFIX = f"avf{os.getpid() % 100000}"
_ADDRESSES = {"head": "10.77.0.1", "worker": "10.77.0.2", "curate": "10.77.0.3"}

# $1: name of the host, $2: folder with data/, secrets/ and hosts, $3: code, $4 and $5: Python and its environment; then
# the command. /root and /tmp are hidden, but for a Python that is in one of them.
_SCRIPT = """
set -e
hostname "$1"
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir -p /mnt/python /mnt/environment /mnt/code /mnt/data/in /mnt/data/out /mnt/secrets /mnt/home /mnt/hosts
mount --bind "$3" /mnt/code
mount --bind "$4" /mnt/python
mount --bind "$5" /mnt/environment
mount --bind "$2/data/in" /mnt/data/in
mount -o remount,bind,ro /mnt/data/in
mount --bind "$2/data/out" /mnt/data/out
mount --bind "$2/secrets" /mnt/secrets
mount --bind "$2/hosts" /etc/hosts
mount -t tmpfs -o mode=700,uid=10001,gid=10001 tmpfs /mnt/home
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=755 tmpfs /root
[ -d "$4" ] || { mkdir -p "$4"; mount --bind /mnt/python "$4"; }
[ -d "$5" ] || { mkdir -p "$5"; mount --bind /mnt/environment "$5"; }
mount -o remount,ro /root
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -o remount,bind,ro /
shift 5
cd /mnt/home
exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set -all --inh-caps -all "$@"
"""


def why_unavailable() -> str:
    """Return why services cannot be run here, or an empty string."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [tool for tool in ("ip", "unshare", "setpriv") if not shutil.which(tool)]
    if missing:
        return f"needs {', '.join(missing)}"
    probe = ["unshare", "--net", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return "namespaces are not allowed" if subprocess.run(probe, capture_output=True).returncode else ""


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.format(p=_PREFIX).split()], check=True)


@contextlib.contextmanager
def internal_network() -> Iterator[None]:
    """Connect a network for each service by a bridge, without a gateway."""
    names = ["bridge", *_ADDRESSES]
    try:
        for name in names:
            _ip(f"netns add {{p}}-{name}")
            _ip(f"-n {{p}}-{name} link set lo up")
        _ip("-n {p}-bridge link add br0 type bridge")
        _ip("-n {p}-bridge link set br0 up")
        for name, address in _ADDRESSES.items():
            port = f"to-{name}"
            _ip(f"-n {{p}}-bridge link add {port} type veth peer name eth0 netns {{p}}-{name}")
            _ip(f"-n {{p}}-bridge link set {port} master br0 up")
            _ip(f"-n {{p}}-{name} addr add {address}/24 dev eth0")
            _ip(f"-n {{p}}-{name} link set eth0 up")
        yield
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", f"{_PREFIX}-{name}"], capture_output=True)


def prepare_folder(folder: Path, token: str) -> None:
    """Make the folders and the secret that the services get."""
    (folder / "data/in").mkdir(parents=True)
    (folder / "data/out").mkdir()
    os.chown(folder / "data/out", USER, USER)
    (folder / "secrets").mkdir()
    (folder / "secrets/ray_token").write_text(token)
    os.chown(folder / "secrets/ray_token", USER, USER)
    (folder / "secrets/ray_token").chmod(0o400)
    lines = [f"{address} {name}" for name, address in _ADDRESSES.items()]
    (folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))


def service(name: str) -> dict[str, Any]:
    """Return a service of the compose file."""
    services: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return dict(services[name])


def service_words(name: str) -> list[str]:
    """Return the command line of a service of the compose file, with the defaults of its variables."""
    words = [*service(name).get("entrypoint", ["avf-curate"]), *service(name).get("command", [])]
    return [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in words]


def enclose(name: str, folder: Path, words: list[str], **variables: str) -> list[str]:
    """Return the command that runs `words` as the service `name`, with the environment of the compose file.

    `variables` come in place of those of the service. The paths /data and /run/secrets are below /mnt here.
    """
    environment = {str(key): str(value) for key, value in service(name).get("environment", {}).items()} | variables
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "PYTHONPATH": ":".join(f"/mnt/code/{part}" for part in ("curation", "shards", "training")),
        "HOME": "/mnt/home",
        "USER": "avf",
        "LANG": "C.UTF-8",
    }
    inside = [re.sub(r"(?<![\w/])/data/", "/mnt/data/", word) for word in words]
    settings = [f"{key}={value.replace('/run/secrets', '/mnt/secrets')}" for key, value in sorted(environment.items())]
    unshare = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
    script = ["sh", "-c", _SCRIPT, "sh", name, str(folder), str(ROOT), sys.base_prefix, sys.prefix]
    return ["ip", "netns", "exec", f"{_PREFIX}-{name}", *unshare, *script, "env", "-i", *settings, *inside]


@contextlib.contextmanager
def running(name: str, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Keep a service of the compose file up; all its processes end with the block."""
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(enclose(name, folder, service_words(name)), stdout=log, stderr=log, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
