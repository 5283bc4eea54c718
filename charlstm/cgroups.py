"""The control groups (cgroups) of this process, which limit its processors and memory on Linux.

Version 1 has a hierarchy for each controller, version 2 one for all. Limits of parent groups also
apply. https://docs.kernel.org/admin-guide/cgroup-v1/cgroups.html and
https://docs.kernel.org/admin-guide/cgroup-v2.html

Paths are strings: every command imports this module, and `pathlib` takes milliseconds.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator

ROOT = "/"


def group_folders(controller: str, root: str | os.PathLike[str] = ROOT) -> Iterator[str]:
    """The folders of this process's groups that a controller limits, and of all their parents.

    Args:
        controller: of version 1, such as `cpu` or `memory`; in version 2 all have one folder.
        root: the folder that contains `proc/self/cgroup` and all mount points.
    """
    root = os.fspath(root)
    try:
        groups = _read(root, "/proc/self/cgroup")
        mounts = _read(root, "/proc/self/mountinfo")
    except OSError:
        return
    mounted = [mount for line in mounts.splitlines() if (mount := _mount(line, controller))]
    for line in groups.splitlines():  # id:controllers:path, without controllers in version 2
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        for is_v1, mount_root, mount_point in mounted:
            if is_v1 != bool(controllers):
                continue
            # A container often sees its own group as the root of the mount.
            inside = group.strip("/") if mount_root == "/" else ""
            if group.startswith(mount_root + "/"):
                inside = group[len(mount_root) :].strip("/")
            while True:
                yield _below(root, posixpath.join(mount_point, inside))
                if not inside:
                    break
                inside = posixpath.dirname(inside)


def read_file(folder: str, name: str) -> str:
    """A group's file without surrounding blanks.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    with open(posixpath.join(folder, name), encoding="ascii", errors="replace") as file:
        return file.read().strip()


def _read(root: str, path: str) -> str:
    with open(_below(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def _below(root: str, path: str) -> str:
    return posixpath.join(root, path.lstrip("/"))


def _mount(line: str, controller: str) -> tuple[bool, str, str] | None:
    """A mount in a line of mountinfo (`man 5 proc`) that has the controller's groups.

    Returns:
        Whether it is version 1, its root and its mount point; None for any other mount.
    """
    before, separator, after = line.partition(" - ")
    fields, kinds = before.split(), after.split()
    if not separator or len(fields) < 5 or len(kinds) < 3:
        return None
    is_v1 = kinds[0] == "cgroup" and controller in kinds[2].split(",")
    if not is_v1 and kinds[0] != "cgroup2":
        return None
    return is_v1, _unescaped(fields[3]), _unescaped(fields[4])


def _unescaped(path: str) -> str:
    for escaped, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        path = path.replace(escaped, character)
    return path
