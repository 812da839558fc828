"""MoodArchive's nodes: this folder lies in ComfyUI's custom_nodes, the code is the installed package's."""

try:
    from editor.integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
except ImportError as error:
    raise ImportError(
        f"MoodArchive's nodes lack {error.name or error}; remedy: "
        "pip install 'moodarchive[editor]' with ComfyUI's Python"
    ) from error

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
