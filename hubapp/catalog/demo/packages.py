"""Finding the files of installed packages and checking that they are the very bytes that the manifest names."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from django.conf import settings

from hubapp.catalog.demo.manifest import Package, PackageFile, PackageTree
from hubapp.catalog.importing import ImportFile
from workers.kit import UserError, file_digest

DEBIAN_ROOT = Path("/")


def install_hint(package: Package) -> str:
    """How a person gets a package."""
    commands = {
        "python": f"pip install --no-deps {package.name}=={package.version}",
        "npm": "npm ci",
        "debian": f"apt-get install {package.name}",
    }
    return commands[package.kind]


def package_root(package: Package) -> Path:
    """The folder that a package's paths start from; raises UserError with the way to install it if it is not there."""
    if package.kind == "python":
        try:
            return Path(str(distribution(package.name).locate_file("")))
        except PackageNotFoundError:
            raise _absent(package) from None
    root = DEBIAN_ROOT if package.kind == "debian" else settings.BASE_DIR / "node_modules" / package.name
    if not root.is_dir():
        raise _absent(package)
    return root


def _absent(package: Package) -> UserError:
    return UserError(f"The {package.in_words} is not installed. Get it with: {install_hint(package)}")


def _version_found(package: Package) -> str:
    """The version that is installed, "" where that is not known."""
    if package.kind == "python":
        return distribution(package.name).version
    if package.kind == "npm":
        content = json.loads((package_root(package) / "package.json").read_text(encoding="utf-8"))
        return str(content.get("version", ""))
    return ""


def _refused(package: Package, what: str) -> UserError:
    found = _version_found(package)
    other = f" (version {found} is installed)" if found and found != package.version else ""
    return UserError(
        f"{what} of the {package.in_words} is not the one that the demo names: its SHA-256 differs{other}, so it was "
        f"refused. Get the right one with: {install_hint(package)}"
    )


def package_files(package: Package, files: tuple[PackageFile, ...]) -> list[ImportFile]:
    """The files of a package, checked by SHA-256; raises UserError for a missing package and for other bytes."""
    root = package_root(package)
    found = []
    for file in files:
        path = root / file.path
        if not path.is_file():
            raise _absent(package)
        if file_digest(path) != file.sha256:
            raise _refused(package, path.name)
        found.append(ImportFile(path=file.stored_name, location=path, sha256=file.sha256, is_weights=file.is_weights))
    return found


def package_tree(package: Package, tree: PackageTree) -> list[ImportFile]:
    """The files of a folder of a package, checked together; raises UserError as `package_files`."""
    folder = package_root(package) / tree.path
    paths = sorted({path for pattern in tree.patterns for path in folder.glob(pattern)})
    digests = {path.name: file_digest(path) for path in paths}
    listing = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    if hashlib.sha256(listing.encode()).hexdigest() != tree.sha256:
        raise _refused(package, f"The folder {tree.path or package.name!r}")
    return [ImportFile(path=path.name, location=path, sha256=digests[path.name]) for path in paths]
