"""How good an image or a reading is: image, realism and agreement metrics. Tensors and numbers only."""
