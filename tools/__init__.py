"""The programs: one module per verb, the training loop, the command line."""
