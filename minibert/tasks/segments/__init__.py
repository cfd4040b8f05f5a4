"""What goes into an example of plain text: one module for each way."""
