"""The attacks: each a function with a name, a label family and the programs it needs."""
from . import bots, flood, guess, leak, lateral, scan, slow, web  # noqa: F401  They enter themselves below.
from .job import REGISTRY, Attack, Job, Missed

__all__ = ["REGISTRY", "Attack", "Job", "Missed"]
