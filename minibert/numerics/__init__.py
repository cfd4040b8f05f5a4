"""What layers compute with and NumPy has not, or not as quick: the normal distribution, sums of rows, stacked products."""
