"""The moderators' desk: pages on this machine alone, where people decide about letters. Nothing here writes one."""
