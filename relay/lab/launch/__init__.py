"""The launch of 2014, replayed: eleven days of letters, doubling daily, by those who mean well and those who do not."""
