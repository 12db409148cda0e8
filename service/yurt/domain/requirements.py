"""The packages that a function asks for: read, named by content, and what an installer's failure means."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

MAX_REQUIREMENTS = 500
"""Those that a definition names; what they need in turn does not count."""

MAX_CHARS = 1000
"""Of one requirement."""

HEADLINE_CHARS, HEADLINE_LINES = 600, 6
"""Of what an installer said, in the message of an error."""

_AWAY = re.compile(
    r"connection (refused|reset|aborted|error|broken|timed out)|connect(ion)?error|name resolution|dns error"
    r"|network is unreachable|no route to host|timed out|(read|connect) ?timeout|tls handshake|error sending request"
    r"|remote end closed|incomplete ?read|\b(429|50[0234])\b.{0,40}(error|too many|unavailable|gateway|for url)"
    r"|status (code|server error).{0,20}\b(429|50[0234])\b|temporarily unavailable|no space left on device",
    re.IGNORECASE,
)
"""What installers print when an index does not answer; they then go on to say that it has no such package."""

_BLAME = re.compile(r"^\s*(error\b|\N{MULTIPLICATION SIGN})", re.IGNORECASE)
"""How pip and uv begin the lines that say what went wrong; uv goes on below, in a drawn frame."""

_FRAME = re.compile(r"^[\s\u2500-\u257f\u25b6\N{MULTIPLICATION SIGN}]+")


def problem(text: str) -> str | None:
    """Why a text is not a requirement that functions may have, or None. It ends in no full stop."""
    if not text.strip():
        return "must not be empty"
    if len(text) > MAX_CHARS:
        return f"must have at most {MAX_CHARS} characters, has {len(text)}"
    if text.lstrip().startswith("-"):
        return "must be a package such as pillow==11.*, not an option of an installer; the operator sets those"
    if text.lstrip().startswith((".", "/", "~")) or text.rstrip().endswith((".whl", ".tar.gz", ".zip")):
        return "must be a package of an index such as pillow==11.*, not a file; put own code into the source"
    if re.match(r"\s*(\w+\+)?\w+://", text):
        return _NO_URL
    try:
        found = Requirement(text)
    except InvalidRequirement as error:
        return f"is no requirement such as pillow==11.*: {str(error).splitlines()[0]}"
    return _NO_URL if found.url is not None else None


_NO_URL = "must be a package of an index such as pillow==11.*, not an address: what is there may change, or be secret"


def normalized(texts: Iterable[str]) -> tuple[str, ...]:
    """The same requirements in one spelling and order.

    Raises:
        InvalidRequirement: `problem` has something to say about one.
    """
    return tuple(sorted({_spelled(Requirement(text)) for text in texts}))


def _spelled(found: Requirement) -> str:
    extras = f"[{','.join(sorted(map(canonicalize_name, found.extras)))}]" if found.extras else ""
    marker = f"; {found.marker}" if found.marker is not None else ""
    parts = ",".join(sorted(str(one) for one in found.specifier))
    return f"{canonicalize_name(found.name)}{extras}{parts}{marker}"


def key_of(requirements: Sequence[str], interpreter: str) -> str:
    """The name of the environment that has them: 20 hex digits.

    Args:
        requirements: normalized.
        interpreter: what tells one interpreter from another, its build included.
    """
    return hashlib.sha256(json.dumps([*requirements, interpreter]).encode()).hexdigest()[:20]


def may_pass(output: Sequence[str]) -> bool:
    """Whether an installer failed for what may be over soon, such as an index that does not answer."""
    return any(_AWAY.search(line) for line in output)


def headline(output: Sequence[str]) -> str:
    """What an installer's output says of its failure, on one line, or nothing."""
    lines = [line for line in output if line.strip()]
    blamed = [at for at, line in enumerate(lines) if _BLAME.match(line)]
    told = lines[blamed[-1] :][:HEADLINE_LINES] if blamed else lines[-1:]
    return " ".join(filter(None, (_FRAME.sub("", line).strip() for line in told)))[:HEADLINE_CHARS]
