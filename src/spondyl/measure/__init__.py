"""A spine's numbers: from labels, corners or curves to angles. Draws nothing, logs nothing, saves nothing."""
