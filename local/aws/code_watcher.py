"""Calls back when the code in a folder has changed."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

_CODE = {".json", ".py", ".sql"}
_INTERVAL_SECONDS = 0.5

_Snapshot = dict[Path, tuple[int, int]]


class CodeWatcher:
    """Compares the times and sizes of files twice a second, on any operating system."""

    def __init__(self) -> None:
        self._snapshots: dict[Path, _Snapshot] = {}
        self._callbacks: list[tuple[frozenset[Path], Callable[[], None]]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="code-watcher")

    def watch(self, folders: Iterable[Path], changed: Callable[[], None]) -> None:
        """Call `changed`, from the watcher's thread, whenever a file in one of the folders has changed."""
        watched = frozenset(folders)
        self._snapshots |= {folder: _snapshot(folder) for folder in watched - self._snapshots.keys()}
        self._callbacks.append((watched, changed))

    def start(self) -> None:
        """Begin; everything to watch must be known by then."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and return when no callback runs any more."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_INTERVAL_SECONDS):
            changed = {folder for folder, before in self._snapshots.items() if _snapshot(folder) != before}
            self._snapshots |= {folder: _snapshot(folder) for folder in changed}
            for folders, callback in self._callbacks:
                if folders & changed:
                    callback()


def _snapshot(folder: Path) -> _Snapshot:
    files: _Snapshot = {}
    for path in folder.rglob("*"):
        if path.suffix in _CODE:
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # an editor's temporary file, gone since it was listed
            files[path] = status.st_mtime_ns, status.st_size
    return files
