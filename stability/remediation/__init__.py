"""Repair: playbooks behind guards, a record of everything, and the proof that it helped."""
