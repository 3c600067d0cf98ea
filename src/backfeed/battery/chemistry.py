"""Chemistries whose wear has a closed form."""

from enum import StrEnum


class Chemistry(StrEnum):
    """Cell families with a published, additive capacity-loss law."""

    LFP = "lfp"
    NMC_A = "nmc-a"
    NMC_B1 = "nmc-b1"
    NCA = "nca"
