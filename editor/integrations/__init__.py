"""The editor inside other programs: blocks of diffusers' modular pipelines, and nodes of ComfyUI."""
