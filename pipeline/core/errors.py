"""The exception for problems that the user can fix, and which system errors count among them."""

import errno
import re
from collections.abc import Iterator


class ExpectedError(Exception):
    """A problem with the input, the parameters or the environment: not a bug.

    The message says what is wrong, where, and what to do, in one paragraph (or one list). It is shown without a
    traceback and ends the process with exit code 2. A password in an address is not shown.
    """

    def __str__(self) -> str:
        return without_password(super().__str__())


def without_password(text: str) -> str:
    """A text without the user names and passwords of the URIs in it."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


_EXHAUSTED = {  # resources that run out during work
    errno.ENOSPC: "the disk is full: free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
    errno.EFBIG: "the file is larger than this file system or your limit (ulimit -f) allows",
}
_REFUSED = {
    errno.EACCES: "permission denied: make the path readable and writable for you",
    errno.EPERM: "operation not permitted: make the path writable for you",
    errno.EROFS: "the file system is read-only: work in a writable copy",
    errno.ENOTDIR: "a part of the path is a file, where a folder is needed: name another path",
    errno.ENAMETOOLONG: "the name is too long for this file system: choose a shorter one",
    errno.ELOOP: "symbolic links lead in a circle: remove one of them",
}
_CUT_SHORT = "the file could not be written whole, as on a full disk: free some space and run the same command again"
_NO_MEMORY = (
    "free some memory, run fewer stages at a time (`snakemake --cores 1`), lower what params.yaml asks for (such as "
    "batch sizes), or use a machine with more memory"
)
_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # how libraries in Rust, such as safetensors, pass an errno on
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # NumPy's, which keeps no errno
_ALLOCATION = re.compile(r"can't allocate memory|out of memory|bad_alloc", re.IGNORECASE)  # torch's, a RuntimeError


def expected_error(error: BaseException) -> ExpectedError | None:
    """The expected error that an exception is or was caused by, or None where it may be a bug.

    Libraries report a full disk and a lack of memory in types of their own, or raise another exception while they
    handle one. So the exception's causes are searched for these two.
    """
    if isinstance(error, ExpectedError):
        return error
    for cause in _causes(error):
        if _is_memory(cause):
            return ExpectedError(f"not enough memory{_said(cause)}: {_NO_MEMORY}")
        advice = _EXHAUSTED.get(_number(cause)) or (_CUT_SHORT if _SHORT_WRITE.fullmatch(str(cause)) else None)
        if advice is None and cause is error:
            advice = _REFUSED.get(_number(cause))
        if advice is not None:
            places = [getattr(cause, "filename", None), *(f"({note})" for note in getattr(error, "__notes__", [])[:1])]
            where = "".join(f" {place}" for place in places if place)
            return ExpectedError(f"cannot read or write{where}: {advice}; what was there before is unchanged")
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, and what led to it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _number(error: BaseException) -> int:
    if isinstance(error, OSError):
        return error.errno or 0
    match = _OS_ERROR.search(str(error))
    return int(match[1]) if match else 0


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError) and _ALLOCATION.search(str(error)) is not None


def _said(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f" ({lines[0]})" if lines else ""
