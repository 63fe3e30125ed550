"""What a customer of the relay sees: check an address, submit a letter, follow it. The web front uses this alone."""
