"""What a split's content is named by: source, steps, vocabulary and code."""
