"""One study a file: its settings, what it needs, its tables and its finding. `STUDIES` lists them; knows no torch.

from explorer.studies import STUDIES
STUDIES["transfer"].finding({"transfer": run.table("transfer")})
"""

from typing import Any

from explorer.studies.ablation import Ablation
from explorer.studies.capability import Capability
from explorer.studies.categories import Categories
from explorer.studies.causal import Causal
from explorer.studies.depth import Depth
from explorer.studies.detail import Detail
from explorer.studies.dose import Dose
from explorer.studies.fewest import Fewest
from explorer.studies.first_tokens import FirstTokens
from explorer.studies.identification import Identification
from explorer.studies.kinds import Kinds
from explorer.studies.leave_out import LeaveOut
from explorer.studies.likeness import Overlap
from explorer.studies.logit_attribution import LogitAttribution
from explorer.studies.logit_lens import LogitLens
from explorer.studies.paths import Paths
from explorer.studies.place import Place
from explorer.studies.refusal_direction import RefusalDirection
from explorer.studies.safeguard import Safeguard
from explorer.studies.seeds import Seeds
from explorer.studies.series import Series
from explorer.studies.single_neurons import SingleNeurons
from explorer.studies.study import Study
from explorer.studies.tax import Tax
from explorer.studies.transfer import Transfer

STUDIES: dict[str, Study[Any]] = {
    study.name: study
    for study in (
        Causal(),
        Place(),
        Overlap(),
        Seeds(),
        Transfer(),
        Categories(),
        Tax(),
        Ablation(),
        Identification(),
        Safeguard(),
        Capability(),
        Series(),
        Fewest(),
        SingleNeurons(),
        FirstTokens(),
        LogitAttribution(),
        LogitLens(),
        Depth(),
        RefusalDirection(),
        Paths(),
        Dose(),
        Kinds(),
        LeaveOut(),
        Detail(),
    )
}
"""Every study by its name, in the order of their stages: each after those whose tables it reads."""
