"""How a named-dimension program runs: Mesh TensorFlow on a current TensorFlow."""
