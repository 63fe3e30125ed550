"""One encrypted file from which a node can be made again: database, configuration, keys and secrets."""
