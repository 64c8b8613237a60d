"""A small real inference service to watch, record, break and repair."""
