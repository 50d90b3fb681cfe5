"""Colours that mean the same thing on every page; told apart with any colour vision."""

UNPATCHED = "#D55E00"
"""M1, the model that lacks safety alignment."""

PATCHED = "#7B4FD0"
"""M1 with neurons patched."""

ALIGNED = "#009E73"
"""M2, the aligned model."""

RANDOM = "#8A8F98"
"""A random control."""

RAMP = ["#F3EFFC", "#E0D6F7", "#CBBAF0", "#B29BE7", "#977ADD", "#7B4FD0", "#6539B8", "#50299A", "#3C1C7A", "#29115A"]
"""Low to high, for cells that carry dark or light text: the same on a light and a dark page."""

TEXT_ON_LIGHT, TEXT_ON_DARK = "#1F2430", "#FFFFFF"
