"""The first evening, played: the README's lines on a bare Debian, to a letter that arrives in a world beside it.

    python tests/first_evening/evening.py        as root, on Linux with debootstrap; `make first-evening`

Two roots, two network namespaces. In the world every address answers: Knot serves a signed root zone that holds
everything, and Postfix with rspamd takes mail for example.net. The server gets the README's block "On a server", line
by line, nothing else. Three things are done as the operator's hands: publishing the records and the PTR, the
certificate (an authority of the world's in certbot's place), and `systemctl` (no process 1 here: the unit's user,
capability and command are used). Fails unless there are at most 20 lines, the doctor ends with 0, and the letter has
dmarc=pass.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
REPOSITORY: Final = HERE.parents[1]
CACHE: Final = Path(os.environ.get("LEAK_EVENING_CACHE", "/var/cache/leak-first-evening"))
ADDRESS: Final = "45.83.104.10"
"""The server's: a public one, for the relay treats documentation addresses as what they are."""
CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
MOST_LINES: Final = 20
MOST_MINUTES: Final = 30


class StumbleError(Exception):
    """A line did not do what the README says."""


class Place:
    """A Debian root with a network of its own."""

    def __init__(self, root: Path, network: str) -> None:
        self.root = root
        self.network = network

    def run(self, line: str, *, outside: bool = False, check: bool = True) -> str:
        """A line of shell in the root, in its network or (`outside`) in this machine's, as downloads need."""
        network = [] if outside else ["ip", "netns", "exec", self.network]
        inside = ["chroot", str(self.root), "/bin/sh", "-c", f"cd /root/leak 2>/dev/null; {line}"]
        done = subprocess.run(
            [*network, *inside],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise StumbleError(f"{line}\nended with {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
        return done.stdout + ("" if check else done.stderr)

    def start(self, line: str, log: str) -> subprocess.Popen[bytes]:
        """A line that goes on, its output in a file of the root."""
        with (self.root / log).open("wb") as out:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.network, "chroot", str(self.root), "/bin/sh", "-c", f"exec {line}"],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )


def _environment() -> dict[str, str]:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def readme_lines() -> list[str]:
    """The lines of the README's block, without their comments."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## On a server\n.*?```sh\n(.*?)```", text, re.DOTALL)
    assert block is not None
    lines = [re.sub(r"\s{2,}#.*", "", line).strip() for line in block[1].splitlines()]
    return [line.replace("192.0.2.10", ADDRESS) for line in lines if line]


@contextmanager
def places() -> Iterator[tuple[Place, Place]]:
    """Server and world, in namespaces that are gone at the end. Runs in a mount namespace of its own."""
    folder = Path(tempfile.mkdtemp(prefix="leak-evening-"))
    server, world = folder / "server", folder / "world"
    names = f"leak-s{os.getpid()}", f"leak-w{os.getpid()}"
    try:
        subprocess.run(["cp", "-a", str(CACHE / "bare"), str(server)], check=True)
        subprocess.run(["cp", "-a", str(CACHE / "world"), str(world)], check=True)
        for root in (server, world):
            for mount in ("proc", "dev"):
                subprocess.run(["mount", "--bind", f"/{mount}", str(root / mount)], check=True)
        _connect(*names)
        yield Place(server, names[0]), Place(world, names[1])
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)
        _remove(folder)


def _mounted(folder: Path) -> list[str]:
    """What is mounted below a folder, innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((point for point in points if Path(point).is_relative_to(folder)), reverse=True)


def _remove(folder: Path) -> None:
    """Delete the roots, but never through something that is still mounted in them: that would be this machine's."""
    for point in _mounted(folder):
        subprocess.run(["umount", "-l", point], check=False)
    if left := _mounted(folder):
        print(f"{folder} stays: {', '.join(left)} is mounted there", file=sys.stderr)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _connect(server: str, world: str) -> None:
    """A cable between the two; in the world every address is local."""
    for words in (
        f"netns add {server}",
        f"netns add {world}",
        f"link add lk{os.getpid()} netns {server} type veth peer name lk{os.getpid()} netns {world}",
        f"-n {server} link set lo up",
        f"-n {world} link set lo up",
        f"-n {server} link set lk{os.getpid()} up",
        f"-n {world} link set lk{os.getpid()} up",
        f"-n {server} addr add {ADDRESS}/32 dev lk{os.getpid()}",
        f"-n {server} route add default dev lk{os.getpid()}",
        f"-n {world} route add {ADDRESS}/32 dev lk{os.getpid()}",
        # In the main table: there the way back to the server is the narrower one.
        f"-n {world} route add local 0.0.0.0/0 dev lo table main",
    ):
        subprocess.run(["ip", *words.split()], check=True)


class World:
    """The names, the receiver and the authority."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.zone = place.root / "var/lib/knot/world.zone"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        root = self.place.root
        shutil.copy(HERE / "world.zone", self.zone)
        (root / "etc/knot/knot.conf").write_text(
            "server:\n  rundir: /run/knot\n  user: knot:knot\n  listen: [198.41.0.4@53]\n"
            "database:\n  storage: /var/lib/knot\n"
            "policy:\n  - id: world\n    algorithm: ecdsap256sha256\n    single-type-signing: on\n"
            "zone:\n  - domain: .\n    file: world.zone\n    storage: /var/lib/knot\n"
            "    dnssec-signing: on\n    dnssec-policy: world\n    zonefile-sync: -1\n"
            "    zonefile-load: difference-no-serial\n    journal-content: all\n"
        )
        self.place.run("mkdir -p /run/knot && chown -R knot:knot /run/knot /var/lib/knot")
        self.processes.append(self.place.start("knotd -c /etc/knot/knot.conf", "knot.log"))
        for line in (
            "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=World -keyout /root/ca.key -out /root/ca.pem",
            (
                "postconf -e 'inet_interfaces=all' 'myhostname=mx.example.net' 'mydestination=example.net,localhost'"
                " 'local_recipient_maps=' 'luser_relay=catch@localhost' 'maillog_file=/var/log/mail.log'"
                " 'smtpd_milters=inet:127.0.0.1:11332' 'milter_default_action=tempfail' 'mynetworks=127.0.0.0/8'"
                " 'alias_maps=' 'home_mailbox=' 'mail_spool_directory=/var/mail' 'smtputf8_enable=no'"
            ),
            "useradd -m catch; mkdir -p /etc/rspamd/local.d; install -d -o _rspamd -g _rspamd /run/rspamd",
        ):
            self.place.run(line, check=not line.startswith("useradd"))
        local = root / "etc/rspamd/local.d"
        (local / "milter_headers.conf").write_text('use = ["authentication-results"];\nskip_local = false;\n')
        (local / "greylist.conf").write_text("enabled = false;\n")
        (local / "options.inc").write_text('dns { nameserver = ["198.41.0.4:53"]; timeout = 2s; }\nlocal_addrs = [];\n')
        for off in ("rbl", "surbl", "fuzzy_check", "phishing", "asn", "bayes_expiry", "history_redis", "neural"):
            (local / f"{off}.conf").write_text("enabled = false;\n")
        self.processes.append(self.place.start("rspamd -f -u _rspamd -g _rspamd", "rspamd.log"))
        self.place.run("postfix start", check=False)

    def stop(self) -> None:
        self.place.run("postfix stop", check=False)
        end(self.processes)

    def publish(self, records: str) -> None:
        """The operator's records and the host's PTR."""
        reverse = ".".join(reversed(ADDRESS.split(".")))
        # A new domain: no other host takes its mail, so the line for that case is meant.
        records = re.sub(r"^; (\S+ 3600 IN MX .*)$", r"\1", records, flags=re.MULTILINE)
        own = f"{records}\n{reverse}.in-addr.arpa. PTR mail.example.org.\n"
        with self.zone.open("a", encoding="utf-8") as zone:
            zone.write(own)
        self.place.run("knotc -c /etc/knot/knot.conf zone-reload .")

    def certify(self, server: Place, line: str) -> None:
        """What certbot leaves behind, and its hook."""
        words = shlex.split(line)
        name, hook = words[words.index("-d") + 1], words[words.index("--deploy-hook") + 1]
        self.place.run(
            f"openssl req -newkey rsa:2048 -nodes -subj /CN={name} -keyout /root/k.pem -out /root/r.pem && "
            f"printf 'subjectAltName=DNS:{name},DNS:mta-sts.bounces.example.org' >/root/x && "
            "openssl x509 -req -in /root/r.pem -CA /root/ca.pem -CAkey /root/ca.key -days 60 "
            "-extfile /root/x -out /root/c.pem"
        )
        live = server.root / "etc/letsencrypt/live" / name
        live.mkdir(parents=True)
        shutil.copy(self.place.root / "root/k.pem", live / "privkey.pem")
        (live / "fullchain.pem").write_bytes(
            (self.place.root / "root/c.pem").read_bytes() + (self.place.root / "root/ca.pem").read_bytes()
        )
        server.run(f"RENEWED_LINEAGE=/etc/letsencrypt/live/{name} {hook}")

    def arrived(self, seconds: float = 120) -> str:
        """The letter at the receiver."""
        give_up = time.monotonic() + seconds
        box = self.place.root / "var/mail/catch"
        while time.monotonic() < give_up:
            if box.exists() and (text := box.read_text(encoding="utf-8", errors="replace")):
                return text
            time.sleep(0.5)
        raise StumbleError(f"nothing arrived\n{self.place.run('tail -20 /var/log/mail.log', check=False)}")


class Evening:
    """The server's lines, played one after the other."""

    def __init__(self, server: Place, world: World) -> None:
        self.server = server
        self.world = world
        self.password = ""
        self.processes: list[subprocess.Popen[bytes]] = []

    def play(self, line: str) -> str:
        """One line; what it said."""
        first = line.split(maxsplit=1)[0]
        match first:
            case "apt-get":
                return self.server.run(line, outside=True)
            case "certbot":
                self.world.certify(self.server, line)
                return ""
            case "systemctl":
                self._serve()
                return ""
            case _ if "pip" in first:
                shutil.copy(CERTIFICATES, self.server.root / CERTIFICATES[1:])  # this machine's way to its registries
                said = self.server.run(line, outside=True)
                self._resolve()
                return said
        said = self.server.run(line.replace("LEAK_SEND_PASSWORD=…", f"LEAK_SEND_PASSWORD={self.password}"))
        if line.startswith("leak dns --zone"):
            self.world.publish(said)
        if line.startswith("leak user add"):
            self.password = json.loads(said)["password"]
        return said

    def _resolve(self) -> None:
        """What the package's own start would have done: unbound runs, with this world's root instead of ours."""
        root = self.server.root
        key = self.world.place.run("keymgr -c /etc/knot/knot.conf . ds | head -1").split(maxsplit=1)[1]
        (root / "var/lib/unbound/root.key").write_text(f". IN {key}" if key.startswith("DS") else f". {key}")
        (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
        shutil.copy(self.world.place.root / "root/ca.pem", root / "usr/local/share/ca-certificates/world.crt")
        self.server.run("update-ca-certificates")
        self.processes.append(self.server.start("unbound -d -p", "unbound.log"))

    def _serve(self) -> None:
        """The unit without systemd: its user, its one capability, its command; ready as it would say."""
        unit = (self.server.root / "etc/systemd/system/leak.service").read_text()
        command = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        assert command is not None
        confined = (
            "setpriv --reuid=leak --regid=leak --init-groups --no-new-privs --inh-caps=-all,+net_bind_service "
            "--ambient-caps=-all,+net_bind_service --bounding-set=-all,+net_bind_service "
            f"env LEAK_CONFIG=/etc/leak/relay.toml {command[1]}"
        )
        self.processes.append(self.server.start(confined, "leak.log"))
        give_up = time.monotonic() + 120
        while '"started"' not in (self.server.root / "leak.log").read_text():
            if time.monotonic() > give_up or self.processes[-1].poll() is not None:
                raise StumbleError((self.server.root / "leak.log").read_text()[-3000:])
            time.sleep(0.2)

    def stop(self) -> None:
        end(self.processes)


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """End what was started here, with all it started."""
    for process in reversed(processes):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def clone(server: Place) -> None:
    """The repository as a clone has it, and what LEAK_EVENING_SHARES names (paths, with colons between)."""
    target = server.root / "root/leak"
    target.mkdir(parents=True)
    packed = subprocess.run(["git", "archive", "HEAD"], cwd=REPOSITORY, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(target)], input=packed, check=True)
    shutil.copy("/etc/resolv.conf", server.root / "etc/resolv.conf")
    # Whoever has packages from elsewhere than the internet names where: folders are lent, files copied.
    for name in filter(None, os.environ.get("LEAK_EVENING_SHARES", "").split(":")):
        source, place = Path(name), server.root / name.lstrip("/")
        if source.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "-o", "bind,ro", name, str(place)], check=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
    for file in Path("/etc/apt/apt.conf.d").iterdir():
        shutil.copy(file, server.root / "etc/apt/apt.conf.d" / file.name)


def main() -> int:
    """Play it; the exit status."""
    if os.environ.get("LEAK_EVENING_INSIDE") != "1":
        subprocess.run([str(HERE / "prepare"), str(CACHE)], check=True)
        os.execvpe("unshare", ["unshare", "-m", sys.executable, *sys.argv], {**os.environ, "LEAK_EVENING_INSIDE": "1"})
    lines = readme_lines()
    begun = time.monotonic()
    with places() as (server, outside):
        clone(server)
        world = World(outside)
        evening = Evening(server, world)
        try:
            world.start()
            for number, line in enumerate(lines, 1):
                at = time.monotonic()
                said = evening.play(line)
                print(f"[{number:2}] {time.monotonic() - at:6.1f} s  {line[:110]}", flush=True)
                if line.startswith(("leak doctor", "leak check", "leak dns --check")):
                    print(said)
            letter = world.arrived()
        except StumbleError as stumble:
            print(f"STUMBLE: {stumble}")
            if os.environ.get("LEAK_EVENING_KEEP"):
                input("kept until Enter: ")
            return 1
        finally:
            evening.stop()
            world.stop()
    minutes = (time.monotonic() - begun) / 60
    results = re.findall(r"(?:spf|dkim|dmarc)=\w+", letter)
    print(f"{len(lines)} lines, {minutes:.1f} minutes, at the receiver: {' '.join(results)}")
    return 0 if "dmarc=pass" in results and len(lines) <= MOST_LINES and minutes <= MOST_MINUTES else 1


if __name__ == "__main__":
    sys.exit(main())
