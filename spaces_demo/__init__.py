"""The files of a Space: an app, its card and its requirements."""
