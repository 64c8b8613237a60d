"""What is seen after a repair, with the truth: traces to play to whoever has to say whether all recovered."""

from stability.simulate.recoveries.families import FAMILIES
from stability.simulate.recoveries.peers import PEERS
from stability.simulate.recoveries.replay import play, rates
from stability.simulate.recoveries.traces import Trace, recoveries

__all__ = ["FAMILIES", "PEERS", "Trace", "play", "rates", "recoveries"]
