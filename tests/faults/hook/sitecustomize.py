"""Read by every Python process whose PYTHONPATH names this folder: see file_operations.py."""  # noqa: INP001  Python finds it by this very name

from tests.faults.asking import ask_from_here_on

ask_from_here_on()
