"""The second reading: a small neural network, asked where the first reading is in doubt."""
