"""One night for each kind of fault: the truth at once, whole tables, and a rerun that runs only what is missing.

Nights of which `test_runner` and `test_store_postgres` tell the same in one test each are part of `make soak` alone.
"""

import random

import pytest
from faults import KINDS, Trial, can_mount

#: Faults that kernels and the signals to them are part of, and the one whose disk nobody else sees.
REAL = ("kernel killed", "runner terminated", "runner interrupted", "kernel died", "disk full")
SHORT = ("runner killed", "store locked", "store removed", "disk full")


# Halfway, when some steps have ended and others run.
@pytest.mark.parametrize("kind", [pytest.param(k, marks=() if k in SHORT else pytest.mark.soak) for k in KINDS])
def test_a_night_with_a_fault_is_told_and_mended(workbench, kind):
    if kind == "disk full" and not can_mount():
        from conftest import missing

        missing("mounting a small disk needs root and unshare")
    trial = Trial(workbench, random.Random(7), real=kind in REAL)
    trial.logs = kind != "disk full"  # three kernels that import MLflow, to write into the store as their runner does
    trial.new_experiment()
    trial.fault(kind, moment=0.5)
    trial.check_disk()
    if kind != "disk full":  # recovered in place
        trial.real = False
        trial.recover()
