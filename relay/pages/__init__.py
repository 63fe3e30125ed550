"""What pages for people have in common, whosever they are: forms, errors, headers, and a door that a token opens."""
