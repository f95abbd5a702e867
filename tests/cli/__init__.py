"""Tests of rtcsend.cli."""
