"""The errors of machines, disks, networks and permissions that are injected."""

import errno

MACHINE_ERRNOS = tuple(
    getattr(errno, name)
    for name in [
        "EIO",
        "ESTALE",
        "ENOTCONN",
        "ETIMEDOUT",
        "EHOSTDOWN",
        "ENOMEM",
        "EACCES",
        "EMFILE",
        "ENFILE",
        "ENOSPC",
        "EDQUOT",
        "EROFS",
    ]
)


def errno_name(number: int) -> str:
    """Return the name of an errno, such as EIO."""
    return errno.errorcode[number]
