"""The stages in order, the settings, the command line and the embedded demo."""
