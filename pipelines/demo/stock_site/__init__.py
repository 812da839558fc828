"""The demo's stock site on loopback, with faults planted among its pictures."""
