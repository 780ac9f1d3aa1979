"""Where tokens are: relative biases, absolute vectors, and the places they count by."""
