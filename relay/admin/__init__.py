"""The operator's pages: what the commands tell of this node's mail, in a browser on this machine, without scripts."""
