"""The inbound door: bounces, complaints and reports from strangers, and nothing else."""
