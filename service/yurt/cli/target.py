"""Which server to talk to, and as whom."""

import json
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from yurt.cli.failures import CommandError, ExitCode

LOCAL_URL = "http://127.0.0.1:7600"
"""Where `yurt serve` listens unless told otherwise."""

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class Target:
    """A server and the credentials for it.

    Args:
        token: `token_id:token_secret`, or the one-word form.
        environment: the environment that names are looked up in; None leaves it to the token.
    """

    url: str
    token: str = field(repr=False)
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """What `yurt login` stored."""

    url: str
    token: str = field(repr=False)


def config_path() -> Path:
    """The file that `yurt login` writes."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "yurt" / "config.toml"


def read_login() -> Login | None:
    """The stored login, or None.

    Raises:
        CommandError: the file is there and is not one that `yurt login` wrote.
    """
    path = config_path()
    try:
        stored = tomllib.loads(path.read_text())
        return Login(url=str(stored["url"]), token=str(stored["token"]))
    except FileNotFoundError:
        return None
    except (tomllib.TOMLDecodeError, KeyError, OSError) as error:
        raise CommandError(f"{path} cannot be read: {error!r}", "Write it anew with `yurt login URL`.") from error


def write_login(login: Login) -> Path:
    """Store a login where only this user can read it, and return the path."""
    path = config_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # JSON strings of printable text are TOML basic strings too.
    text = f"url = {json.dumps(login.url)}\ntoken = {json.dumps(login.token)}\n"
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
    return path


def clean_url(url: str) -> str:
    """A server's address without what does not belong to it.

    Raises:
        CommandError: it is no address of a server.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CommandError(
            f"{url!r} is not the address of a server", "Give one such as http://127.0.0.1:7600.", ExitCode.USAGE
        )
    path = parts.path.rstrip("/").removesuffix("/v1")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _local_token(url: str) -> str | None:
    """The administrator's token of a server that this user runs on this machine with the default data directory."""
    if urlsplit(url).hostname not in _LOOPBACK:
        return None
    data_dir = Path(os.environ.get("YURT_DATA_DIR") or "~/.local/share/yurt").expanduser()
    try:
        return (data_dir / "admin-token").read_text().strip()
    except OSError:
        return None


def find_target(url: str | None, token: str | None, environment: str | None) -> Target:
    """Decide from what was given, then what is stored, then what is on this machine.

    A stored token is only ever sent to the server it was stored for.

    Raises:
        CommandError: there is no token for the server.
    """
    login = read_login()
    chosen = clean_url(url or (login.url if login else LOCAL_URL))
    if token is None and login and clean_url(login.url) == chosen:
        token = login.token
    token = token or _local_token(chosen)
    if token is None:
        raise CommandError(
            f"no token for {chosen}",
            f"Log in with `yurt login {chosen}`, or set YURT_TOKEN. A server that was just started writes one to"
            " admin-token in its data directory.",
            ExitCode.AUTH,
        )
    return Target(chosen, token, environment)
