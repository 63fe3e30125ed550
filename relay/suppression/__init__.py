"""Standing refusals: who must get no more mail, kept so that an opt-out outlives the address itself."""
