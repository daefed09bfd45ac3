"""Accelerators without their hardware: what stands in for it, and what the agent does."""
