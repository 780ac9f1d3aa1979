"""Every language scored on text held out from training, beside two baselines."""
