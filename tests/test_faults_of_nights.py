"""One night for each kind of fault: the truth at once, whole tables, and a rerun that runs only what is missing."""

import random

import pytest
from faults import KINDS, Trial, can_mount


@pytest.fixture
def trial(workbench):
    made = Trial(workbench, random.Random(7))
    made.new_experiment()
    return made


# Halfway, when some steps have ended and others run.
@pytest.mark.parametrize("kind", KINDS)
def test_a_night_with_a_fault_is_told_and_mended(trial, kind, request):
    if kind == "disk full" and not can_mount():
        from conftest import missing

        missing("mounting a small disk needs root and unshare")
    trial.fault(kind, moment=0.5)
    trial.check_disk()
    trial.recover()
