"""TensorBoard over one training or over all of an experiment: opened when asked for, gone when idle."""
