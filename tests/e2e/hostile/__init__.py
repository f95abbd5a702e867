"""Somebody who speaks the real protocol wrongly, over a real connection, to the real commands."""
