"""Real text in mC4's 101 languages, read from installed packages."""
