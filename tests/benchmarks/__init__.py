"""What things cost, measured by commands. No test runs these; no figure is a test."""
