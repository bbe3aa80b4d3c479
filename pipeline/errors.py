"""The one exception for problems that are the user's to mend, and how they are shown."""

import errno


class ExpectedError(Exception):
    """A problem with the input, the parameters or the environment: not a bug.

    The message says what is wrong, where, and what to do, in one paragraph (or one list). It is shown without a
    traceback and ends the process with exit code 2.
    """


_STORAGE_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up: free some space and run the same command again",
    errno.EFBIG: "the file is larger than this file system or your limit (ulimit -f) allows",
    errno.EACCES: "permission denied: make the path readable and writable for you",
    errno.EPERM: "operation not permitted: make the path writable for you",
    errno.EROFS: "the file system is read-only: work in a writable copy",
}


def storage_error(error: OSError) -> ExpectedError | None:
    """The expected error behind a failed read or write, or None where the failure may be a bug."""
    advice = _STORAGE_ADVICE.get(error.errno or 0)
    if advice is None:
        return None
    where = f" {error.filename}" if error.filename else ""
    return ExpectedError(f"cannot read or write{where}: {advice}; what was there before is unchanged")
