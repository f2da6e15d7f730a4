"""What can go wrong with a disk image, by whose fault it is."""


class DiskImageError(Exception):
    """The host could not make or read an image; the message is for the operator."""


class DiskRejected(Exception):
    """The disk that was given is not one we take; the message is a sentence for its sender."""
