"""`make bench`: the agent beside what this machine can do at best, and beside a short script."""
