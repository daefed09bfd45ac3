"""Tests in a booted Debian; see conftest.py."""
