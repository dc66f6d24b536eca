"""The differentiable X-ray projector and the physics from Hounsfield units to a measured radiograph."""
