"""Backfeed: parked electric vehicles as a power plant, from the charger's socket to the owner's payout."""

__version__ = "0.1.0"
