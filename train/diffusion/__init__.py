"""Training of a latent diffusion model in the class layout of Stable Diffusion 1.5: autoencoder, then denoiser."""
