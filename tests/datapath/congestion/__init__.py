"""Tests of rtcsend.datapath.congestion."""
