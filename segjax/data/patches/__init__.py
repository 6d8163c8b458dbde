"""Patches of whole photographs at full resolution: what is kept, where they lie, how drawn."""
