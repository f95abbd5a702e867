"""Figures of this machine; ``python -m benchmarks`` prints them, docs/performance.md explains."""
