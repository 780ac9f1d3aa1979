"""Names of the metrics in per_language.csv; no TensorFlow, as reports read them."""

METRICS = (
    "loss",
    "accuracy",
    "bits_per_byte",
    "mixture_unigram_bits_per_byte",
    "language_unigram_bits_per_byte",
)
UNKNOWN_METRICS = ("unknown_tokens", "unknown_bytes")
"""Of vocabularies without bytes for what has no piece; from 0 to 1."""
OWN_METRIC = "own_"
"""Before the name of a supervised task's own metric."""
