"""Text out of files as people save them: UTF-8 with or without a mark, UTF-16 (Excel, PowerShell), Windows-1252, gzip.

with open_text(path, "file of prompts") as file:
    line = file.readline()

Bytes that are none of these are refused: text in a wrong encoding looks like text, and would be measured as such.
"""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from explorer.errors import ExplorerError
from explorer.files import is_file, reason_of

MOST_LINE = 8 * 2**20
"""Characters of a line; the longest dialogues that are published have a tenth of that."""

MOST_FILE = 2 * 2**30
"""Bytes of a file once unpacked."""

MOST_GUESSED = 64 * 2**20
"""Bytes of a file whose encoding has to be told from its content."""

GZIP = b"\x1f\x8b"

_MARKS = (  # the longer ones first: UTF-32's begins as UTF-16's does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_NO_TEXT = {
    b"version https://git-lfs": "is a Git-LFS pointer and not the file itself; fetch it with `git lfs pull`",
    b"PK\x03\x04": "is a zip archive or an Excel workbook; unpack it, or save it as “CSV UTF-8”",
    b"PAR1": "is a Parquet file; give it the ending .parquet",
}

# What tells Windows-1252 from other eight-bit encodings. Western words have at most three letters beyond ASCII in a
# row, no sign (but an apostrophe or a hyphen) between two letters, no capital after a small letter, and no ð, þ or ý:
# Cyrillic, Greek, Chinese, Polish, Turkish or old Mac text that is read as Windows-1252 has.
_UTF8_LETTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH = re.compile(rb"[\x80-\xff]")
_SIGN = rb"[\x80-\x84\x86-\x89\x8b\x8d\x8f\x90\x95\x98\x99\x9b\x9d\xa1-\xac\xae-\xb6\xb8-\xbf]"
_FOREIGN = rb"[\xd0\xdd\xde\xf0\xfd\xfe]|[a-z\xdf-\xf6\xf8-\xff][\xc0-\xd6\xd8-\xde\x8a\x8c\x8e\x9f]"
_NOT_WESTERN = re.compile(rb"[\x80-\xff]{4}|[A-Za-z\xc0-\xff]" + _SIGN + rb"[A-Za-z\xc0-\xff]|" + _FOREIGN)


@contextmanager
def open_text(path: Path, what: str) -> Iterator[io.TextIOWrapper]:
    """A text file, its encoding found out; lines end at \\n, \\r or \\r\\n and nowhere else (not at U+2028).

    Args:
        path: the file, packed by gzip or not.
        what: its kind, for messages: "build file".

    Raises:
        ExplorerError: it is missing, cannot be read, or is not text; also while it is read.
    """
    encoding = encoding_of(path, what)
    try:
        with open_bytes(path, what) as file, io.TextIOWrapper(file, encoding, newline="") as text:
            yield text
    except UnicodeDecodeError as problem:
        raise ExplorerError(f"{path} is not readable as {encoding}; save it as UTF-8.") from problem
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise ExplorerError(f"{path} is a damaged gzip file; fetch or pack it again.") from problem
    except OSError as problem:
        raise ExplorerError(f"{path} cannot be read: {reason_of(problem)}.") from problem


@contextmanager
def open_bytes(path: Path, what: str) -> Iterator[IO[bytes]]:
    """A file's bytes, unpacked where it is packed by gzip.

    Raises:
        ExplorerError: there is no such file.
    """
    if not is_file(path):
        raise ExplorerError(f"There is no {what} {path}.")
    with path.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
        file.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked  # type: ignore[misc]  # it reads as IO[bytes] does
        else:
            yield file


def encoding_of(path: Path, what: str) -> str:
    """The encoding of a text file, as Python calls it.

    Raises:
        ExplorerError: it is missing, cannot be read, is too long or not text.
    """
    try:
        with open_bytes(path, what) as file:
            return _encoding(file, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise ExplorerError(f"{path} is a damaged gzip file; fetch or pack it again.") from problem
    except OSError as problem:
        raise ExplorerError(f"{path} cannot be read: {reason_of(problem)}.") from problem


def _encoding(file: IO[bytes], path: Path) -> str:
    head = file.read(2**12)
    for start, said in _NO_TEXT.items():
        if head.startswith(start):
            raise ExplorerError(f"{path} {said}.")
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    half = max(len(head) // 2, 1)
    if head[1::2].count(0) > 0.4 * half and not head[::2].count(0):
        return "utf-16-le"
    if head[::2].count(0) > 0.4 * half and not head[1::2].count(0):
        return "utf-16-be"
    decoder = codecs.getincrementaldecoder("utf-8")()
    seen, part = 0, head
    while part:
        if 0 in part:
            raise ExplorerError(f"{path} holds zero bytes, so it is not a text file; save it as UTF-8 text.")
        try:
            decoder.decode(part)
        except UnicodeDecodeError:
            return _eight_bit(file, path)
        seen += len(part)
        if seen > MOST_FILE:
            raise ExplorerError(f"{path} has more than {MOST_FILE // 2**30} GiB unpacked; split it into smaller files.")
        part = file.read(2**20)
    if decoder.getstate()[0]:
        raise ExplorerError(f"{path} ends within a character, so it is cut off; fetch it again.")
    return "utf-8"


def _eight_bit(file: IO[bytes], path: Path) -> str:
    """Windows-1252 (which holds Latin-1) where the bytes can be that: not mostly UTF-8, and not another script."""
    file.seek(0)
    data = file.read(MOST_GUESSED + 1)
    letters = _UTF8_LETTER.findall(data)
    rest = len(_HIGH.findall(data)) - sum(map(len, letters))
    if len(letters) >= rest:
        raise ExplorerError(f"{path} is UTF-8 with bytes in it that are not; it is damaged, so fetch or save it again.")
    if len(data) > MOST_GUESSED or _NOT_WESTERN.search(data):
        raise ExplorerError(f"{path} is in an encoding that cannot be told for sure; save it as UTF-8.")
    return "cp1252"
