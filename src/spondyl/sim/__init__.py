"""Sensors and subjects: virtual patients and what each modality sees of them."""
