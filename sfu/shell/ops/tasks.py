"""The running Trio tasks, for operators: as a tree in text, and as a number.

The tree shows the structure of the server (see `sfu.shell.server`): which nursery each task runs in, and where
each task waits.
"""

from collections.abc import Iterator
from types import FrameType
from typing import Final

import trio

Task = trio.lowlevel.Task

_TRAPS: Final = "trio._core._traps"
"""The innermost frame of every waiting task is in this module."""


def count_tasks(task: Task) -> int:
    """Return the number of tasks in the nurseries of `task`, including `task` and all nurseries below."""
    return 1 + sum(count_tasks(child) for nursery in task.child_nurseries for child in nursery.child_tasks)


def task_tree() -> str:
    """Return all tasks of this Trio run, one per line: its name, its place in our code, and where it waits."""
    root = trio.lowlevel.current_root_task()
    assert root is not None, "the caller runs in a task, so there is a root task"
    return "\n".join([_line(root), *_branches(root, "")]) + "\n"


def _branches(task: Task, indent: str) -> Iterator[str]:
    children = [
        # Nurseries are nested, outermost first. The level says which one a task was started in.
        (level, child)
        for level, nursery in enumerate(task.child_nurseries)
        for child in sorted(nursery.child_tasks, key=lambda child: child.name)
    ]
    for index, (level, child) in enumerate(children):
        last = index == len(children) - 1
        nursery = f"[{level}] " if len(task.child_nurseries) > 1 else ""
        yield f"{indent}{'└─' if last else '├─'} {nursery}{_line(child)}"
        yield from _branches(child, indent + ("   " if last else "│  "))


def _line(task: Task) -> str:
    frames = [place for place in task.iter_await_frames() if _module(place[0]) != _TRAPS]
    ours = [place for place in frames if _module(place[0]).startswith("sfu.")]
    # The innermost frame is usually Trio's own sleeping or reading. Our innermost frame says what for.
    places = [_place(*place) for place in dict.fromkeys([*ours[-1:], *frames[-1:]])]
    return " ".join([task.name.strip(), *(f"@ {place}" for place in places)])


def _place(frame: FrameType, line: int) -> str:
    return f"{_module(frame)}.{frame.f_code.co_qualname}:{line}"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))
