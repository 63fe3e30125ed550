"""The doctor: what keeps this host's mail from arriving, found before receivers find it."""
