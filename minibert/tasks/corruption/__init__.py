"""What of an example is hidden or changed: one module for each way."""
