"""`make gpu`: exactness, speed and memory on a GPU, in at most six minutes; on a processor with small shapes.

python -m tests.bench.gpu                    # the first CUDA device, shapes of 7B models
python -m tests.bench.gpu --small            # small shapes, on whatever there is
python -m tests.bench.gpu --only exact
"""

import argparse
from collections.abc import Iterator

import torch
import transformers

from explorer.models import embedded
from tests.bench.gpu_exact import computations, exact_demo, exact_loaded, exact_split, exact_tiny
from tests.bench.gpu_place import Place, bandwidth_of
from tests.bench.gpu_speed import SHAPES, shape
from tests.bench.gpu_visitors import visitors
from tests.bench.measure import Line, show
from tests.bench.quantised import quantised

GROUPS = ("exact", "computations", "split", "loaded", "demo", *SHAPES, "visitors", "quantised")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="small shapes, on the processor where there is no GPU")
    parser.add_argument("--only", choices=GROUPS, nargs="+", default=GROUPS)
    args = parser.parse_args()
    if not args.small and not torch.cuda.is_available():
        raise SystemExit("There is no CUDA device here; --small measures small shapes on the processor.")
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    place = Place(device, args.small, 0.0 if args.small else bandwidth_of(device))
    print(_about(place), flush=True)
    lines = []
    for line in _lines(place, args.only):
        lines.append(line)
        ratio = "" if line.ratio is None else f", ratio {line.ratio:.2f}"
        print(f"  measured: {line.item}: {line.ours}; {line.peer}{ratio}", flush=True)
    print(show(lines))
    if any(line.met is False for line in lines if line.goal == "all"):
        raise SystemExit(1)


def _about(place: Place) -> str:
    name = torch.cuda.get_device_name(place.device) if place.device.type == "cuda" else "processor"
    speed = f", reads {place.bandwidth / 1e12:.2f} TB/s" if place.bandwidth else ""
    return f"{name}{speed}; torch {torch.__version__}, transformers {transformers.__version__}"


def _lines(place: Place, only: tuple[str, ...]) -> Iterator[Line]:
    if "exact" in only:
        yield from exact_tiny(place)
    if "computations" in only:
        yield from computations(place)
    if "split" in only and place.device.type == "cuda":
        yield exact_split()
    if "loaded" in only:
        yield from exact_loaded(place)
    if "demo" in only and embedded.available():
        yield exact_demo(place)
    for name in SHAPES:
        if name in only:
            yield from shape(place, name)
            if place.device.type == "cuda":
                torch.cuda.empty_cache()
    if "visitors" in only:
        yield from visitors(place)
    if "quantised" in only:
        yield from quantised(place.device)


if __name__ == "__main__":
    main()
