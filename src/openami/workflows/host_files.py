"""Files of the server's own that imports may read: those in the directory that its operator
names for that (setting `import_directory`)."""

from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from openami.settings import Settings

SCHEME: Final = "file://"


class NotServed(Exception):
    """No import may read this; the message is a sentence for the caller."""


def served(settings: Settings, url: str) -> Path:
    """The regular file that a file:// URL names, every link in its path resolved.

    What lies outside the directory and what is not there are refused alike. Raises NotServed.
    """
    if not settings.import_directory:
        raise NotServed(
            "The server reads no file:// URLs. Upload the disk to a bucket, or ask its operator"
            " for the setting import_directory."
        )
    absent = NotServed(
        f"{url[:200]!r} names no file in the directory that the server reads imports from."
    )
    try:
        parts = urlsplit(url)
        root, found = Path(settings.import_directory).resolve(), Path(unquote(parts.path)).resolve()
        if parts.netloc not in ("", "localhost") or not found.is_relative_to(root):
            raise absent
        if not found.is_file():
            raise absent
    except (OSError, RuntimeError, ValueError) as odd:  # links in a circle, names too long
        raise absent from odd
    return found
