"""A real rspamd as a receiver's filter on loopback, unpacked in a folder of its own: mail in over HTTP, symbols out.

`.ci/run` unpacks Debian's package, so that no service is installed. Debian's own rules and scores judge, with the
modules that ask other people's servers left out; DNS is asked of the server a test names.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.ports import free_port
from tests.support.programs import PROGRAMS

RSPAMD = PROGRAMS / "usr" / "bin" / "rspamd"
UNFIT = "" if RSPAMD.is_file() else f"rspamd is not unpacked in {PROGRAMS}; .ci/run does it"

_MODULES = ("dkim", "spf", "dmarc", "regexp", "hfilter", "mime_types", "forged_recipients", "chartable",
            "once_received", "maillist", "http_headers")  # fmt: skip
_SETTINGS = """\
options {{
  .include "$CONFDIR/options.inc"
  .include(priority=1,duplicate=merge) "$LOCAL_CONFDIR/options.inc"
}}
logging {{ type = "file"; filename = "{folder}/log"; level = "warning"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; mime = true; }}
lua = "$RULESDIR/rspamd.lua"
.include "$CONFDIR/metrics.conf"
.include "$CONFDIR/actions.conf"
.include "$CONFDIR/groups.conf"
.include "$CONFDIR/composites.conf"
{modules}
modules {{ path = "${{PLUGINSDIR}}"; }}
lang_detection {{ languages = "${{SHAREDIR}}/languages"; }}
"""
_OPTIONS = """\
pidfile = "{folder}/rspamd.pid"; tempdir = "{folder}"; control_socket = "{folder}/control.sock mode=0600";
local_addrs = []; task_timeout = 30s; disable_hyperscan = true;
url_tld = "{folder}/suffixes";
dns {{ nameserver = ["{nameserver}"]; timeout = 5s; retransmits = 3; }}
"""
_LOOPBACK_TOO = "check_local = true; check_authed = true;\n"
"""A test's letters come from loopback."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What rspamd says of one mail."""

    action: str
    score: float
    symbols: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Rspamd:
    """A running one."""

    url: str

    async def judge(self, content: bytes, **envelope: str) -> Judgement:
        """Have it read `content` as it came; `envelope` are the fields of its protocol: IP, Helo, From, Rcpt."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as client,
            client.post(f"{self.url}/checkv2", data=content, headers=envelope) as answer,
        ):
            told = await answer.json(content_type=None)
        return Judgement(told["action"], told["score"], told["symbols"])


def _lay_out(folder: Path, port: int, nameserver: str) -> tuple[str, ...]:
    """Write its settings; the command that runs it."""
    modules = "\n".join(f'.include "$CONFDIR/modules.d/{name}.conf"' for name in _MODULES)
    (folder / "rspamd.conf").write_text(_SETTINGS.format(folder=folder, port=port, modules=modules))
    (folder / "options.inc").write_text(_OPTIONS.format(folder=folder, nameserver=nameserver))
    (folder / "suffixes").write_text(
        "com\nexample\nnet\norg\ntest\n"
    )  # the whole list takes it half a minute to compile
    (folder / "local.d").mkdir()
    for name in ("dkim", "spf", "dmarc"):
        (folder / "local.d" / f"{name}.conf").write_text(_LOOPBACK_TOO)
    share = PROGRAMS / "usr" / "share" / "rspamd"
    places = {
        "CONFDIR": PROGRAMS / "etc" / "rspamd",
        "LOCAL_CONFDIR": folder,
        "DBDIR": folder,
        "RUNDIR": folder,
        "LOGDIR": folder,
        "SHAREDIR": share,
        "PLUGINSDIR": share / "plugins",
        "RULESDIR": share / "rules",
        "LUALIBDIR": share / "lualib",
        "WWWDIR": share / "www",
    }
    named = [word for name, place in places.items() for word in ("--var", f"{name}={place}")]
    return (str(RSPAMD), "-f", "-i", "-c", str(folder / "rspamd.conf"), *named)


@contextlib.asynccontextmanager
async def rspamd_filter(nameserver: str) -> AsyncIterator[Rspamd]:
    """Start one that asks `nameserver` ("host:port")."""
    folder, port = Path(tempfile.mkdtemp(prefix="rspamd-test-")), free_port()
    libraries = str(PROGRAMS / "usr" / "lib" / "rspamd")
    try:
        process = await asyncio.create_subprocess_exec(
            *_lay_out(folder, port, nameserver),
            env={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": libraries},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await _answers(f"http://127.0.0.1:{port}/ping", process, folder / "log")
            yield Rspamd(f"http://127.0.0.1:{port}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _answers(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    """Wait until it takes mail; its log, if it ends instead."""
    async with asyncio.timeout(60), aiohttp.ClientSession() as client:
        while True:
            if process.returncode is not None:
                raise RuntimeError(f"rspamd ended: {log.read_text() if log.exists() else 'no log'}")
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with client.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)
