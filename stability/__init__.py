"""The Stability workbench: from telemetry to proven recovery, in notebooks that a night can run."""
