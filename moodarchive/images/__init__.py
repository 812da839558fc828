"""What a picture's file says about its samples and colours, and how they become 8-bit sRGB."""
