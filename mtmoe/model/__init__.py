"""What is computed: layers that take and return tensors with named dimensions."""
