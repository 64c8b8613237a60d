"""One night for each kind of fault: the truth at once, whole tables, and a rerun that runs only what is missing."""

import random

import pytest
from faults import KINDS, Trial, can_mount

#: Faults that kernels and the signals to them are part of, and the one whose disk nobody else sees.
REAL = ("kernel killed", "runner killed", "runner terminated", "runner interrupted", "kernel died", "disk full")


# Halfway, when some steps have ended and others run.
@pytest.mark.parametrize("kind", KINDS)
def test_a_night_with_a_fault_is_told_and_mended(workbench, kind):
    if kind == "disk full" and not can_mount():
        from conftest import missing

        missing("mounting a small disk needs root and unshare")
    trial = Trial(workbench, random.Random(7), real=kind in REAL)
    trial.new_experiment()
    trial.fault(kind, moment=0.5)
    trial.check_disk()
    if kind != "disk full":  # recovered in place
        trial.real = False
        trial.recover()
