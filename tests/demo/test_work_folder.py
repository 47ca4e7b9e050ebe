"""A server's files go with it; those of a killed one go with the next."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sama_plugin.demo.work_folder import MARKER, PREFIX, WorkFolder

HOLD = (
    "import sys, time; from pathlib import Path; from sama_plugin.demo.work_folder import WorkFolder;"
    "work = WorkFolder(Path(sys.argv[1])); (work.make_folder() / 'video').write_text('x');"
    "print(work.path, flush=True); time.sleep(600)"
)


def test_folders_are_private_and_go_with_their_content(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path / "deep")
    folder = work.make_folder()
    assert (folder.stat().st_mode & 0o777, work.path.stat().st_mode & 0o777) == (0o700, 0o700)
    (folder / "video").write_text("x")
    work.remove()
    assert list((tmp_path / "deep").iterdir()) == []


def test_what_a_killed_server_left_is_removed_by_the_next_and_nothing_else(tmp_path: Path) -> None:
    kept = tmp_path / f"{PREFIX}mine"
    kept.mkdir()
    (kept / "note.txt").write_text("a folder of the user's own, without the marker")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / MARKER).write_text("A folder of `sama serve`; the next server that starts removes it.\n")
    (tmp_path / f"{PREFIX}link").symlink_to(outside)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        held = Path(holder.stdout.readline().strip())
        WorkFolder(tmp_path).remove()
        assert held.exists(), "its server lives"
        holder.kill()
    WorkFolder(tmp_path).remove()
    assert not held.exists()
    assert (kept / "note.txt").exists()
    assert (outside / MARKER).exists()
