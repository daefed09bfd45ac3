"""What the recipes and the training of the shipped models share."""
