"""Tasks on the workers of a Ray cluster: each holds its own models, a GPU or several each where there are some.

    python -m explorer build CONFIG.toml --engine ray --workers 2
    python -m explorer build CONFIG.toml --engine ray --address auto      # a cluster that runs already

What all items share is sent to a machine once; then a batch of prompts goes to a worker and rows or sums come
back. A worker that dies is started again and its batch is given to it again. Results are put in the items' order
by those who read them, so the tables do not depend on who computed what.
"""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from explorer.errors import ExplorerError
from explorer.paths import PACKAGE
from explorer.pipeline.models import Models, ModelsSpec

RETRIES = 3
"""How often a worker is started again, and a batch is given out again."""

INSTALL = "pip install ray==2.60.0"


@dataclass(frozen=True)
class Share:
    """What each worker of a cluster gets.

    Attributes:
        workers: how many there are.
        cpus, gpus: of each; whole numbers, or a part of one where several workers share it.
    """

    workers: int
    cpus: float
    gpus: float


def shares(nodes: Sequence[Mapping[str, float]], workers: int) -> Share:
    """As much for each worker as all of them can have: several GPUs each, for a model too large for one.

    A worker's GPUs and processors are of one machine, so two machines of four GPUs have room for no worker of eight.

    Args:
        nodes: what each machine has, as Ray says it ("CPU", "GPU").
        workers: 0 for one a GPU, or 1 where there is none.
    """
    found = [(node.get("CPU", 0.0), int(node.get("GPU", 0))) for node in nodes]
    count = workers or max(1, sum(gpus for _, gpus in found))
    gpus = _largest([gpus for _, gpus in found], count)
    if gpus:  # only machines with GPUs have workers
        found = [(cpus, gpus) for cpus, gpus in found if gpus]
        slots = [int(have / gpus + 1e-9) for _, have in found]
        each = [cpus / slot for (cpus, _), slot in zip(found, slots, strict=True) if slot]
        least = min(each, default=1.0)
        return Share(count, float(int(least)) if least >= 1 else least, gpus)
    return Share(count, _largest([int(cpus) for cpus, _ in found], count) or 1, 0)


def _largest(have: Sequence[int], count: int) -> float:
    """The most that each of so many workers can have of what lies on several machines; 0 where there is none."""
    if not sum(have):
        return 0
    for each in range(max(have), 0, -1):
        if sum(one // each for one in have) >= count:
            return each
    return 1 / -(-count // sum(have))


class RayWorker:
    """The models of one worker; runs inside of Ray."""

    def __init__(self, spec: ModelsSpec) -> None:
        self.models = Models(spec)

    def run(self, task: Any, shared: Any, item: Any) -> Any:
        """A task on one item."""
        return task(self.models, shared, item)

    def pid(self) -> int:
        """The number of its process."""
        return os.getpid()


class RayEngine:
    """See `engine.Engine`."""

    def __init__(self, spec: ModelsSpec, workers: int = 0, address: str = "") -> None:
        """Connect to a cluster, or start one on this machine.

        Args:
            spec: what every worker loads, when it gets its first batch.
            workers: 0 for one a GPU, or 1 where there is none.
            address: of a running cluster ("auto" or host:port); "" starts one.

        Raises:
            ExplorerError: Ray is not installed, or there is no such cluster.
        """
        try:
            import ray
        except ImportError as problem:
            raise ExplorerError(f"The engine ray needs Ray, which is not installed; run {INSTALL}.") from problem
        self._ray: Any = ray
        path = os.pathsep.join([str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if address:
            options["address"] = address
        else:
            options |= {"include_dashboard": False, "runtime_env": {"env_vars": {"PYTHONPATH": path}}}
        try:
            self._own = not ray.is_initialized()
            if self._own:
                ray.init(**options)
        except (ConnectionError, OSError, RuntimeError, ValueError) as problem:
            raise ExplorerError(f"There is no Ray cluster at “{address}”: {problem}.") from problem
        share = shares([node["Resources"] for node in ray.nodes() if node["Alive"]], workers)
        self.actors: list[Any] = [
            ray.remote(RayWorker)
            .options(num_cpus=share.cpus, num_gpus=share.gpus, max_restarts=RETRIES, max_task_retries=RETRIES)
            .remote(spec)
            for _ in range(share.workers)
        ]

    def map(self, task: Any, shared: Any, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """See `Engine.map`."""
        held = self._ray.put(shared)
        waiting = deque(enumerate(items))
        idle = deque(self.actors)
        running: dict[Any, tuple[int, Any]] = {}
        while waiting or running:
            while waiting and idle:
                place, item = waiting.popleft()
                actor = idle.popleft()
                running[actor.run.remote(task, held, item)] = (place, actor)
            for done in self._ray.wait(list(running), num_returns=1)[0]:
                place, actor = running.pop(done)
                idle.append(actor)
                yield place, self._result(done)

    def pids(self) -> list[int]:
        """The process of every worker."""
        return [int(pid) for pid in self._ray.get([actor.pid.remote() for actor in self.actors])]

    def close(self) -> None:
        """Let go of the workers, and of the cluster where it was started for them."""
        for actor in self.actors:
            self._ray.kill(actor)
        if self._own:
            self._ray.shutdown()

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as problem:
            raise problem.cause if isinstance(problem.cause, ExplorerError) else problem from problem
        except self._ray.exceptions.RayActorError as problem:
            raise ExplorerError(
                f"A worker died more than {RETRIES} times, perhaps for want of memory; use fewer workers, or "
                'device = "auto" in the pair file. What was finished is kept.'
            ) from problem
