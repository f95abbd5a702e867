"""Beside pairing: this machine's key and those of the machines it knows, on the disk."""
