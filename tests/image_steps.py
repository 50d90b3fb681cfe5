"""A Dockerfile's steps without Docker: each stage in a clean root of its own that debootstrap made, its commands in
namespaces of their own, so that mounts, processes and network end with the command.

    base = clean_root(folder / "base", "bookworm")
    image = build_image(PROJECT, base, folder, arguments={"TORCH_INDEX": "…"})
    process = subprocess.Popen(started(image, image.command, Shut(tmpfs={"/tmp": "size=256m"})))

Debian's Python stands in for the image that FROM names: bookworm has 3.11, trixie 3.13. Needs root.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.image_file import Stage, Step, argv, assignments, context_files, read_dockerfile

TOOLS = ("debootstrap", "unshare", "nsenter", "setpriv", "chroot", "ip")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What python:*-slim has beside the smallest Debian.
PACKAGES = "python3,python3-venv,python-is-python3,ca-certificates,netbase,tzdata"

# $1 the root; $2 "ro" or "rw"; $3 the mounts, a line "type from to options" each; then the command. /dev is made anew.
_ENTER = """
root=$1; mode=$2; mounts=$3; shift 3
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom; do touch "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/shm"
mount -t tmpfs -o size=64m,mode=1777 tmpfs "$root/dev/shm"
echo "$mounts" | while read -r kind from to options; do
  case $kind in
    bind) mount --bind "$from" "$root$to" && mount -o remount,bind,ro "$root$to" ;;
    tmpfs) mount -t tmpfs -o "$options" tmpfs "$root$to" ;;
  esac
done
if test -n "${OWN_NETWORK:-}"; then ip link set lo up; fi
if test "$mode" = ro; then mount -o remount,bind,ro "$root/dev"; mount -o remount,bind,ro "$root"; fi
exec chroot "$root" "$@"
"""


@dataclass(frozen=True)
class Image:
    """A root, and what the steps say of what runs in it.

    Attributes:
        user: what USER says, or "0".
        command: of CMD.
        health: of HEALTHCHECK.
        seconds: of each step, by its text; those of the stages before come first.
    """

    root: Path
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": PATH, "HOME": "/root"})
    workdir: str = "/"
    user: str = "0"
    command: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def ids(self) -> tuple[int, int]:
        """Its user and group; a user that /etc/passwd does not know is of group 0, as in Docker."""
        lines = [line.split(":") for line in (self.root / "etc" / "passwd").read_text().splitlines()]
        for name, _, uid, gid, *_ in lines:
            if self.user in (name, uid):
                return int(uid), int(gid)
        return int(self.user), 0


@dataclass(frozen=True)
class Lent:
    """What a step that calls pip gets of this machine.

    Attributes:
        environment: variables.
        paths: files and folders, at the same place, not writable.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    paths: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Shut:
    """How a command is shut in, as a compose file says it.

    Attributes:
        read_only: the root cannot be written to.
        tmpfs: folders in memory, and mount's options for each.
        no_rights: no capabilities, and none can be got.
        no_network: a network of its own, without a way out.
    """

    read_only: bool = True
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    no_rights: bool = True
    no_network: bool = True


def clean_root(root: Path, suite: str) -> Path:
    """A root with Debian's smallest system and its Python."""
    made = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(root)]
    _run(["unshare", "--mount", "--propagation", "private", *made])  # it mounts /proc for its second part
    shutil.rmtree(root / "var" / "cache" / "apt", ignore_errors=True)
    return root


def build_image(
    project: Path,
    base: Path,
    folder: Path,
    arguments: Mapping[str, str] | None = None,
    lent: Lent | None = None,
    tell: Callable[[str], None] = print,
) -> Image:
    """Run the steps of a project's Dockerfile; the last stage's image.

    Args:
        project: has Dockerfile and .dockerignore.
        base: the clean root that stands for every FROM; it is copied.
        folder: gets a root for each stage.
        arguments: in place of ARG's defaults.
        lent: what steps that call pip get of this machine.

    Raises:
        ValueError: an instruction is not known here.
        RuntimeError: a step failed; with its output's end.
    """
    images: dict[str, Image] = {}
    context = context_files(project)
    seconds: dict[str, float] = {}
    for number, stage in enumerate(read_dockerfile(project / "Dockerfile")):
        root = folder / f"stage{number}"
        if root.exists():  # of a trial before
            remove(root)
        _run(["cp", "-aT", "--reflink=auto", str(base), str(root)])
        image = Image(root)
        values: dict[str, str] = {}
        for step in stage.steps:
            tell(f"{stage.name or 'last stage'}, {step}")
            began = time.monotonic()
            image = _done(step, image, values, arguments or {}, lent or Lent(), project, context, images)
            seconds[str(step)] = time.monotonic() - began
        images[_name(stage, number)] = replace(image, seconds=seconds)
    return images[_name(stage, number)]


def _name(stage: Stage, number: int) -> str:
    return stage.name or str(number)


def _done(
    step: Step,
    image: Image,
    values: dict[str, str],
    arguments: Mapping[str, str],
    lent: Lent,
    project: Path,
    context: list[Path],
    images: Mapping[str, Image],
) -> Image:
    """The image after a step."""
    known = {**values, **image.environment}
    match step.word:
        case "ARG":
            given = assignments(step.rest, known)
            values.update({name: arguments.get(name, value) for name, value in given.items()})
        case "ENV":
            return replace(image, environment={**image.environment, **assignments(step.rest, known)})
        case "WORKDIR":
            (image.root / step.rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            return replace(image, workdir=step.rest)
        case "USER":
            return replace(image, user=step.rest)
        case "CMD":
            return replace(image, command=tuple(argv(step.rest)))
        case "HEALTHCHECK":
            return replace(image, health=tuple(argv(step.rest.removeprefix("CMD").strip())))
        case "COPY" if "from" in step.options:
            source, target = step.rest.split()
            _run(["cp", "-aT", str(images[step.options["from"]].root) + source, str(image.root) + target])
        case "COPY":
            *sources, target = step.rest.split()
            for source in sources:
                _copy(project, context, source, image.root / (Path(image.workdir) / target).relative_to("/"), target)
        case "RUN":
            own = replace(image, environment={**values, **image.environment})
            with_pip = "pip" in step.rest
            _run(entered(own, argv(step.rest), lent if with_pip else Lent()))
    return image


def _copy(project: Path, context: list[Path], source: str, to: Path, written: str) -> None:
    """Copy a file, or what a folder holds, of the context; a target that ends in a slash is a folder."""
    chosen = [path for path in context if path == Path(source) or Path(source) in path.parents]
    if not chosen:
        raise RuntimeError(f"COPY {source}: .dockerignore lets nothing of it through.")
    into_folder = written.endswith("/") and (project / source).is_file()
    for path in chosen:
        place = to / path.name if into_folder else to / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(project / path, place)
        os.chown(place, 0, 0)


def entered(image: Image, command: Sequence[str], lent: Lent | None = None, shut: Shut | None = None) -> list[str]:
    """The command line that runs a command in an image's root, in namespaces of its own."""
    given, closed = lent or Lent(), shut or Shut(read_only=False, no_rights=False, no_network=False)
    mounts = [f"tmpfs - {place} {options}" for place, options in closed.tmpfs.items()]
    for path in (*given.paths, *([] if closed.no_network else [Path("/etc/resolv.conf")])):
        place = image.root / path.relative_to("/")
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        mounts.append(f"bind {path} {path}")
    spaces = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--ipc", "--uts"]
    network = ["env", "OWN_NETWORK=1"] if closed.no_network else []
    return [
        *("unshare", *spaces, *(["--net"] if closed.no_network else [])),
        *(*network, "sh", "-euc", _ENTER, "sh", str(image.root), "ro" if closed.read_only else "rw", "\n".join(mounts)),
        *_as_user(image, command, given.environment, closed.no_rights),
    ]


def beside(image: Image, pid: int, command: Sequence[str], no_rights: bool = True) -> list[str]:
    """The command line that runs a command beside a process of an image, as `docker exec` does."""
    into = ["nsenter", "--target", str(pid), "--mount", "--pid", "--net", "--ipc", "--uts", "--root"]
    return [*into, "--", *_as_user(image, command, {}, no_rights)]


def _as_user(image: Image, command: Sequence[str], more: Mapping[str, str], no_rights: bool) -> list[str]:
    uid, gid = image.ids
    rights = ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"] if no_rights else []
    variables = [f"{name}={value}" for name, value in {**more, **image.environment}.items()]
    who = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *rights]
    return [*who, "env", "-i", "-C", image.workdir, *variables, *command]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[-600:]}\nfailed ({done.returncode}):\n{done.stdout[-6000:]}")


def remove(folder: Path) -> None:
    """Remove roots.

    Raises:
        RuntimeError: something is mounted below the folder, which would be removed with it.
    """
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if below := [place for place in mounted if Path(folder) in Path(place).parents]:
        raise RuntimeError(f"{folder} is not removed: {below} are mounted.")
    shutil.rmtree(folder)
