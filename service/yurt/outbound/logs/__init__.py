"""What containers print, as segment files."""
