"""What both landmark readers share: the network, its canvas and training pictures, and the way from its maps to vertebrae."""
