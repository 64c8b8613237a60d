"""A fleet with a topology, seasons, logs, users and faults, from a scenario file: the ground truth is known."""

from stability.simulate.faults import broken
from stability.simulate.modes import BENIGN, FAILURE_MODES
from stability.simulate.reading import read_scenario
from stability.simulate.scenario import Scenario
from stability.simulate.tables import simulate, write

__all__ = ["BENIGN", "FAILURE_MODES", "Scenario", "broken", "read_scenario", "simulate", "write"]
