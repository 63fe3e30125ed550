"""The engine: intake, scheduling, attempts, verdicts and notices. It owns the tasks that move mail."""
