"""The straight line from capture to verdict, the thread that runs it, its triggers and evidence."""
