"""Disk formats and disk images: qemu-img, qcow2, GPT, and the images we build ourselves."""
