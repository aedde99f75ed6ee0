# SPDX-License-Identifier: Apache-2.0
"""Import, look up, and what faults leave of it."""

from __future__ import annotations

import gzip
import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from podfast import images
from podfast.errors import ImageError, NotFound, SystemFailure

from .archives import DIRECTORY, END, header, member
from .unpacker import tree


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "rootfs.tar.gz"
    data = header(b"etc", DIRECTORY, mode=0o755) + member(b"etc/passwd", b"app:x:7:8::/srv:/bin/sh\n") + END
    path.write_bytes(gzip.compress(data))
    return path


def left(root: str) -> list[str]:
    """What a store holds beside its frame."""
    top = Path(root, "images")
    places = ("layers", "refs", "retired", "tmp")
    return sorted(path.relative_to(top).as_posix() for place in places for path in (top / place).glob("*"))


def test_import_and_ensure(root: str, archive: Path) -> None:
    made = images.import_rootfs(
        archive, "myroot", root=root, entrypoint=["/bin/app"], cmd=["-x"], env=["A=b=c"], user="app", workdir="/srv"
    )
    config = images.ImageConfig(entrypoint=("/bin/app",), cmd=("-x",), env=("A=b=c",), working_dir="/srv", user="app")
    assert made.config == config
    for name in ("myroot", "myroot:latest", "localhost/myroot", "localhost/myroot:latest"):
        assert images.ensure([name], root=root) == {name: made}
    assert Path(made.layers[0], "etc/passwd").exists()
    assert images.find(made.id[:12], root=root) == images.find("myroot", root=root) == made
    [record] = images.list(root=root)
    assert (record.reference, record.id, record.size) == ("localhost/myroot:latest", made.id, 2560)
    assert os.listdir(os.path.join(root, "images/tmp")) == []


def test_the_same_input_has_the_same_id(root: str, archive: Path, tmp_path: Path) -> None:
    first = images.import_rootfs(archive, "a", root=root)
    plain = tmp_path / "plain.tar"
    plain.write_bytes(gzip.decompress(archive.read_bytes()))
    assert images.import_rootfs(plain, "b:1", root=root).id == first.id
    assert images.import_rootfs(plain, "c", root=root, env=["X=1"]).id != first.id
    assert len(list(Path(root, "images/layers").iterdir())) == 1


def test_a_directory(root: str, tmp_path: Path) -> None:
    source = tmp_path / "rootfs"
    (source / "d/e").mkdir(parents=True)
    (source / "d/f").write_bytes(b"x" * 10_000)
    (source / "d/g").hardlink_to(source / "d/f")
    (source / "d/link").symlink_to("/nowhere")
    (source / "linked").symlink_to("d")
    (source / "d" / os.fsdecode(b"bytes\xff")).touch()
    (source / ("n" * 200)).touch(mode=0o600)
    os.mkfifo(source / "fifo")
    os.setxattr(source / "d/f", "user.x", b"\xff\0\n")
    os.utime(source / "d/f", ns=(0, -1_500_000_000))
    made = images.import_rootfs(source, "dir", root=root)
    assert tree(Path(made.layers[0])) == tree(source)
    assert images.import_rootfs(source, "again", root=root).id == made.id


def test_the_store_itself_is_not_imported(tmp_path: Path, archive: Path) -> None:
    store = str(tmp_path / "a/store")
    images.import_rootfs(archive, "a", root=store)
    made = images.import_rootfs(tmp_path, "up", root=store)
    assert [path.name for path in Path(made.layers[0], "a").rglob("*")] == ["store"]


def test_standard_input(root: str, archive: Path) -> None:
    code = f"from podfast import images; print(images.import_rootfs('-', 'stdin', root={root!r}).id)"
    with archive.open("rb") as stream:
        answer = subprocess.check_output([sys.executable, "-c", code], stdin=stream, text=True)
    assert answer.strip() == images.import_rootfs(archive, "file", root=root).id


def test_a_name_gets_the_new_image_and_the_old_one_stays(root: str, archive: Path, tmp_path: Path) -> None:
    first = images.import_rootfs(archive, "a", root=root)
    other = tmp_path / "other.tar"
    other.write_bytes(member(b"new") + END)
    second = images.import_rootfs(other, "a", root=root)
    assert images.ensure(["a"], root=root)["a"] == second
    images.sweep(root=root)
    assert os.path.isdir(first.layers[0])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Upper", "lower case"),
        ("a b", "expected"),
        ("", "expected"),
        ("../x", "expected"),
        ("/x", "expected"),
        ("a:b:c", "expected"),
        ("a" * 300, "longer than 255"),
        ("a@sha256:12", "expected"),
        ("a\n", "expected"),
        ("host:", "expected"),
    ],
)
def test_bad_names(root: str, archive: Path, name: str, says: str) -> None:
    for act in (lambda: images.import_rootfs(archive, name, root=root), lambda: images.ensure([name], root=root)):
        with pytest.raises(ImageError, match=says) as caught:
            act()
        assert caught.value.reason == "InvalidImageName"


def test_taken_names(root: str, archive: Path) -> None:
    for name in ("host", f"a@sha256:{'0' * 64}"):
        with pytest.raises(ImageError):
            images.import_rootfs(archive, name, root=root)


def test_what_is_not_there(root: str) -> None:
    with pytest.raises(ImageError, match=r"does not pull from registries yet.*podfast import") as caught:
        images.ensure(["host", "nginx:1.27"], root=root)
    assert (caught.value.reference, caught.value.reason) == ("nginx:1.27", "ErrImagePull")
    with pytest.raises(NotFound):
        images.find("nginx", root=root)
    assert images.list(root=root) == ()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"env": ["NOVALUE"]}, "NAME=VALUE"),
        ({"env": ["=x"]}, "NAME=VALUE"),
        ({"workdir": "srv"}, "not absolute"),
        ({"cmd": ["a\0b"]}, "NUL"),
    ],
)
def test_a_bad_config(root: str, archive: Path, options: dict[str, object], says: str) -> None:
    with pytest.raises(ImageError, match=says):
        images.import_rootfs(archive, "a", root=root, **options)  # type: ignore[arg-type]


def test_a_bad_archive_leaves_nothing(root: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    path.write_bytes(member(b"good", b"x" * 5000) + member(b"../bad") + END)
    with pytest.raises(ImageError, match=r'bad\.tar: refused: a name with "\.\." \(entry \'\.\./bad\'\)'):
        images.import_rootfs(path, "a", root=root)
    assert left(root) == []


@pytest.mark.parametrize("source", ["/nowhere/rootfs.tar", "/etc/passwd/x"])
def test_a_source_that_is_not_there(root: str, source: str) -> None:
    with pytest.raises(ImageError, match=source):
        images.import_rootfs(source, "a", root=root)
    assert left(root) == []


def test_a_full_disk(root: str, tmp_path: Path) -> None:
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"]).returncode:
        pytest.skip("mounts a small file system")
    path = tmp_path / "big.tar"
    path.write_bytes(member(b"big", b"x" * (8 << 20)) + END)
    code = (
        f"from podfast import images\ntry: images.import_rootfs({str(path)!r}, 'a', root='/mnt/store')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "import os; print(os.listdir('/mnt/store/images/tmp'), os.listdir('/mnt/store/images/layers'))"
    )
    script = 'mount -t tmpfs -o size=4m none /mnt && exec "$@"'
    answer = subprocess.check_output(["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-c", code], text=True)
    assert answer.startswith("ImageError")
    assert "No space left on device" in answer
    assert answer.endswith("[] []\n")


def test_a_store_that_cannot_be_written(archive: Path) -> None:
    with pytest.raises(SystemFailure, match="cannot write /proc"):
        images.import_rootfs(archive, "a", root="/proc/nowhere")


class TestKilled:
    def start(self, root: str) -> subprocess.Popen[bytes]:
        """An import that waits for the rest of its archive."""
        code = f"from podfast import images; images.import_rootfs('-', 'slow', root={root!r})"
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(member(b"first", bytes(1 << 20)))
        process.stdin.flush()
        deadline = time.monotonic() + 20
        while not list(Path(root, "images/tmp").glob("*/root/first")) and time.monotonic() < deadline:
            time.sleep(0.02)
        return process

    def test_an_import_at_work_is_not_swept(self, root: str) -> None:
        process = self.start(root)
        images.sweep(root=root)
        process.communicate(END)
        assert process.returncode == 0
        assert images.find("slow", root=root)

    def test_nothing_is_left_of_a_killed_import(self, root: str, archive: Path) -> None:
        process = self.start(root)
        assert process.stdin is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        # Its unpacker still holds the work space until the archive ends.
        process.stdin.close()
        deadline = time.monotonic() + 10
        while left(root) and time.monotonic() < deadline:
            images.sweep(root=root)
            time.sleep(0.02)
        assert left(root) == []
        assert os.listdir(os.path.join(root, "trash")) == []

    def test_killed_at_many_moments(self, root: str, tmp_path: Path) -> None:
        """Killed between any two steps, an import is whole or gone."""
        path = tmp_path / "some.tar"
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as out:
            for number in range(300):
                out.addfile(tarfile.TarInfo(f"file{number}"))
        path.write_bytes(buffer.getvalue())
        code = (
            "from podfast.images.importing import import_rootfs\nprint(flush=True)\n"
            f"import_rootfs({str(path)!r}, 'k', root={root!r})"
        )
        for turn in range(10):
            process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.006 * turn)
            process.kill()
            process.communicate()
            self.settle(root)
            found = images.list(root=root)
            if found:
                assert len(os.listdir(images.find("k", root=root).layers[0])) == 300
                assert len(left(root)) == 2
            else:
                assert left(root) == []

    def settle(self, root: str) -> None:
        deadline = time.monotonic() + 10
        while any(name.startswith("tmp/") for name in left(root)) and time.monotonic() < deadline:
            images.sweep(root=root)
        images.sweep(root=root)

    def test_two_imports_at_once(self, root: str, archive: Path) -> None:
        code = f"from podfast import images; print(images.import_rootfs({str(archive)!r}, 'same', root={root!r}).id)"
        processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(6)]
        assert len({process.communicate()[0] for process in processes}) == 1
        assert all(process.returncode == 0 for process in processes)
        assert len(left(root)) == 2


class TestUsers:
    @pytest.fixture
    def image(self, tmp_path: Path) -> images.Image:
        etc = tmp_path / "layer/etc"
        etc.mkdir(parents=True)
        (etc / "passwd").write_bytes(
            b"root:x:0:0:root:/root:/bin/sh\nbroken\napp:x:7:8:\xff:/srv:/bin/sh\nbad:x:-1:0::/:/\nhuge:x:4294967295:0::/:/\n"
            b"relative:x:9:9::home:/\n"
        )
        (etc / "group").write_text("root:x:0:\nextra:x:20:app,root\nmore:x:21:other,app\n12:x:99:\n")
        return images.Image("test", "0" * 64, (str(tmp_path / "layer"),))

    @pytest.mark.parametrize(
        ("user", "uid", "gid", "groups", "home"),
        [
            ("", 0, 0, (20,), "/root"),
            ("root", 0, 0, (20,), "/root"),
            ("app", 7, 8, (20, 21), "/srv"),
            ("7", 7, 8, (20, 21), "/srv"),
            ("app:extra", 7, 20, (), "/srv"),
            ("app:33", 7, 33, (), "/srv"),
            ("1234", 1234, 0, (), "/"),
            ("1234:5678", 1234, 5678, (), "/"),
            ("relative", 9, 9, (), "/"),
            ("4294967294", 4294967294, 0, (), "/"),
        ],
    )
    def test_known(
        self, image: images.Image, user: str, uid: int, gid: int, groups: tuple[int, ...], home: str
    ) -> None:
        assert images.lookup_user(image, user) == images.Identity(uid, gid, groups, home)

    @pytest.mark.parametrize("user", ["nobody", "app:nogroup", "4294967295", "-1", "bad", "huge", "root\n", "\u0661"])
    def test_unknown(self, image: images.Image, user: str) -> None:
        with pytest.raises(ImageError) as caught:
            images.lookup_user(image, user)
        assert caught.value.reason == "ImageInspectError"

    @pytest.mark.parametrize("kind", ["link", "fifo", "directory", "large", "parent"])
    def test_files_that_are_traps(self, image: images.Image, kind: str) -> None:
        path = Path(image.layers[0], "etc/passwd")
        path.unlink()
        if kind == "link":
            path.symlink_to("/etc/passwd")
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        elif kind == "large":
            with path.open("wb") as file:
                file.truncate(1 << 30)
        else:
            path.parent.rename(path.parent.with_name("away"))
            path.parent.symlink_to("/etc")
        with pytest.raises(ImageError):
            images.lookup_user(image, "root")

    def test_an_image_without_users(self, tmp_path: Path) -> None:
        image = images.Image("bare", "1" * 64, (str(tmp_path),))
        assert images.lookup_user(image, "") == images.Identity(0, 0, (), "/")
        with pytest.raises(ImageError, match="no user 'root'"):
            images.lookup_user(image, "root")


def test_docker_s_rules_for_short_names() -> None:
    from podfast.images.reference import candidates

    assert candidates("web") == ("localhost/web:latest", "docker.io/library/web:latest")
    assert candidates("team/web:2") == ("localhost/team/web:2", "docker.io/team/web:2")
    assert candidates("quay.io/team/web") == ("quay.io/team/web:latest",)
    assert candidates("localhost:5000/web") == ("localhost:5000/web:latest",)
    assert candidates("web@sha256:" + "a" * 64)[1] == "docker.io/library/web@sha256:" + "a" * 64
