"""Where the prompts of a suite come from that does not ship with the project, as a build file says it."""

from dataclasses import dataclass

from explorer.schema import Map, Place, PlaceOrNone, Text, Values


@dataclass(frozen=True)
class SuiteSpec:
    """Where prompts of a name of the build's own come from; see `explorer.data.sources`.

    Attributes:
        name: what the build calls them.
        file: a .jsonl, .csv or .parquet file, relative to the build file; `$EXPLORER_DATA` is filled in.
        hub: a data set's name on the hub, instead of a file.
        subset, split: of the hub's data set.
        columns: which of its columns is `prompt`, `category`, `id`; guessed where left out.
        where: only rows whose columns have these values.
        publish: whether the run may hold the prompts' text; else it names them by their id.
        label: for people.
    """

    name: Place
    file: PlaceOrNone = ""
    hub: PlaceOrNone = ""
    subset: PlaceOrNone = ""
    split: PlaceOrNone = ""
    columns: Map = ()
    where: Values = ()
    publish: bool = False
    label: Text = ""
