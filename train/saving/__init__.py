"""What training leaves: checkpoints that resume exactly, and weights as open_clip and as transformers read them."""
