"""Accelerators: a real shared library, a real GPU driver, a real NPU dispatch."""
