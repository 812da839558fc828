"""The bundled editor: an exported checkpoint steers a diffusion model towards an emotion."""
