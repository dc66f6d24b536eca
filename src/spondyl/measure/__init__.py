"""Rulers: a spine's numbers from a labelled CT, from the exact curve, or from corners in a picture. They draw nothing."""
