"""Tasks on the workers of a Ray cluster: each holds its own models, a GPU each where there are some.

    python -m explorer build CONFIG.toml --engine ray --workers 2
    python -m explorer build CONFIG.toml --engine ray --address auto      # a cluster that runs already

What all items share is sent to a machine once; then a batch of prompts goes to a worker and rows or sums come
back. A worker that dies is started again and its batch is given to it again. Results are put in the items' order
by those who read them, so the tables do not depend on who computed what.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from explorer.errors import ExplorerError
from explorer.paths import PACKAGE
from explorer.pipeline.models import Models, ModelsSpec

RETRIES = 3
"""How often a worker is started again, and a batch is given out again."""

INSTALL = "pip install ray==2.60.0"


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
        have = ray.cluster_resources()
        gpus = int(have.get("GPU", 0))
        count = workers or max(1, gpus)
        self.actors: list[Any] = [
            ray.remote(RayWorker)
            .options(
                num_cpus=max(1, int(have.get("CPU", 1)) // count),
                num_gpus=gpus // count
                if gpus >= count
                else gpus / count,  # several each, for a model too large for one
                max_restarts=RETRIES,
                max_task_retries=RETRIES,
            )
            .remote(spec)
            for _ in range(count)
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
