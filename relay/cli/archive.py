"""`leak backup --all` and `leak restore --folder`: a whole node in one encrypted file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relay.cli.output import CommandError, UsageError, say, say_json, warn

if TYPE_CHECKING:
    from relay.archive.cipher import Key, Lock

_SUFFIX = ".leakbackup"


def back_up_everything(
    file: Path, target: Path, recipient: Path | None, passphrase: Path | None, *, keep: int, as_json: bool
) -> None:
    """Make an archive; `target` may be a folder, where it is named by the time, and where older ones may go."""
    from relay.archive.making import make_archive
    from relay.clock import SystemClock
    from relay.ids import SystemEntropy
    from relay.private_file import make_private_folder
    from relay.settings import load_settings
    from relay.units import format_size

    settings, clock = load_settings(file), SystemClock()
    lock = _lock(recipient, passphrase)
    if keep and not target.suffix:
        make_private_folder(target)
    into = target.is_dir()
    if keep and not into:
        raise UsageError("--keep needs a folder")
    if into:
        target = target / f"{clock.now():%Y-%m-%dT%H%M%SZ}{_SUFFIX}"
    made = make_archive(settings, file.resolve(), target, lock, (clock, SystemEntropy()))
    gone = _forget_older(target.parent, keep) if keep else 0
    if as_json:
        say_json({"file": str(made.file), "octets": made.octets, "files": made.files, "deleted": gone})
    else:
        say(f"{made.file}: {format_size(made.octets)}, the database and {made.files} files, encrypted")


def _forget_older(folder: Path, keep: int) -> int:
    """Delete all but the newest archives of a folder; how many went."""
    old = sorted(folder.glob(f"????-??-??T??????Z{_SUFFIX}"))[:-keep]
    for file in old:
        file.unlink()
    return len(old)


def check_everything(file: Path, key: Path | None, passphrase: Path | None, *, as_json: bool) -> None:
    """Say what an archive holds, after all of it was examined."""
    from relay.archive.restoring import check_archive

    manifest = check_archive(file, _key(key, passphrase))
    if as_json:
        say_json({name: manifest[name] for name in ("made", "program", "name", "spool")})
    else:
        say(f"{file}: whole; {manifest['name']}, made {manifest['made']} by leak {manifest['program']}")
        say(f"  {manifest['spool']} and {len(manifest['files'])} files")


def restore_everything(
    file: Path, opened_by: tuple[Path | None, Path | None], target: tuple[Path, str, str], *, as_json: bool
) -> None:
    """Make a node from an archive."""
    from relay.archive.restoring import Target, restore_archive

    folder, host_name, spool = target
    if host_name:
        from relay.mail.address import AddressError, parse_domain

        try:
            host_name = parse_domain(host_name)
        except AddressError as error:
            raise UsageError(f"--hostname: {error}") from None
    restored = restore_archive(file, _key(*opened_by), Target(folder.resolve(), host_name, spool))
    if as_json:
        said = {"file": str(restored.file), "made": restored.made, "name": restored.name, "spool": restored.spool}
        say_json({**said, "files": restored.files, "remarks": list(restored.remarks)})
        return
    for remark in restored.remarks:
        warn(f"warning: {remark}")
    say(f"restored {restored.files} files and the spool as of {restored.made}: {restored.file}")
    say(f"  {restored.name}, {restored.spool}")
    say("What people refused after that is not in it: leak suppression carry OLD_SPOOL, if its file can still be read")
    say(f"Next: stop the old node for good, then leak check --config {restored.file}, leak dns --check, leak run")


def _lock(recipient: Path | None, passphrase: Path | None) -> Lock:
    from relay.archive.cipher import Lock, read_recipient

    if (recipient is None) == (passphrase is None):
        raise UsageError("give --recipient-file or --passphrase-file: a backup of everything holds every secret")
    if recipient is not None:
        return Lock(recipient=read_recipient(_read(recipient)))
    return Lock(passphrase=_passphrase(passphrase))


def _key(key: Path | None, passphrase: Path | None) -> Key:
    from relay.archive.cipher import Key, read_private

    return Key(_passphrase(passphrase), read_private(_private(key)) if key is not None else None)


def _passphrase(file: Path | None) -> bytes:
    if file is None:
        return b""
    words = _private(file).strip()
    if len(words) < 12:
        raise CommandError(f"{file}: a passphrase has twelve characters at least")
    return words


def _private(file: Path) -> bytes:
    from relay.private_file import NotPrivateError, read_private_file

    try:
        return read_private_file(file)
    except NotPrivateError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None
