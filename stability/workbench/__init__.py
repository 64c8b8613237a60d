"""From a declaration to a night that is tracked, told and can be repeated."""
