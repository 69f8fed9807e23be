"""Names, revisions, paths and endpoints of a hub: what strangers may call things before it becomes part of a URL."""

from __future__ import annotations

import re
from urllib.parse import quote

from workers.kit import UserError
from workers.sources.http import RequestError, origin_of, url_checked

MAX_PART_CHARS = 96
_NAME = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?")
_REVISION = re.compile(r"[A-Za-z0-9_./+=@-]{1,255}")
_NOT_IN_PATHS = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u2028\u2029\ud800-\udfff]")
_MAX_PATH_CHARS = 1024


def name_check(name: str) -> str:
    """Why `name` cannot be a model's name on a hub; "" if it can.

    The Hub's rules: "owner/name", or one part for the oldest models ("bert-base-uncased"), each part of 1 to 96
    letters, digits, "_", "." and "-", not led by "." or "-", not ended by them either, without "--" and "..".
    """
    if not _NAME.fullmatch(name):
        return "is not of the form owner/name in letters, digits, _, . and -"
    for part in name.split("/"):
        if len(part) > MAX_PART_CHARS:
            return f"has a part of more than {MAX_PART_CHARS} characters"
        if part[0] in ".-" or part[-1] in ".-":
            return "has a part that starts or ends with . or -"
    if "--" in name or ".." in name:
        return "holds -- or .."
    return "ends in .git" if name.endswith(".git") else ""


def revision_check(revision: str) -> str:
    """Why `revision` cannot be a branch, tag, reference ("refs/pr/1") or commit; "" if it can."""
    if not _REVISION.fullmatch(revision) or ".." in revision or revision.startswith(("/", "-")):
        return "is no name of a branch, a tag or a commit"
    return ""


def path_check(path: str) -> str:
    """Why `path` cannot be a file's path inside a repository; "" if it can. Slashes part it; nothing leads upward."""
    if not 0 < len(path) <= _MAX_PATH_CHARS:
        return f"is empty or longer than {_MAX_PATH_CHARS} characters"
    if _NOT_IN_PATHS.search(path):
        return "holds control characters or backslashes"
    if any(part in {"", ".", ".."} for part in path.split("/")):
        return "leads out of its folder or holds an empty part"
    return ""


def endpoint_clean(text: str) -> str:
    """The endpoint of a hub in its one spelling: "https://hub.example", with a path but without a slash at the end.

    Raises UserError for other schemes, credentials, queries, fragments and what is no web address at all.
    """
    text = text.strip()
    if "#" in text or "?" in text:
        raise RequestError("The endpoint of a hub has no ? and no #. Leave out what follows them.", kind="url")
    url = url_checked(text)
    path = url.raw_path.decode("ascii").rstrip("/")
    if any(part in {"", ".", ".."} for part in path.split("/")[1:]):
        raise RequestError("The endpoint's path holds empty parts. Give it like https://hub.example.", kind="url")
    return f"{origin_of(url)}{path}"


def checked(what: str, value: str, problem: str) -> str:
    """`value` percent-encoded whole, or a UserError where there is a problem with it."""
    if problem:
        raise UserError(f"The {what} {shown(value)} {problem}. Check its spelling.")
    return quote(value, safe="")


def shown(text: str, *, limit: int = 100) -> str:
    """A stranger's text as errors show it: cut, in quotes, control characters replaced."""
    return "“" + "".join(letter if letter.isprintable() else "?" for letter in text[:limit]) + "”"
