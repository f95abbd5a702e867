"""Tests of rtcsend.code."""
