"""Chunks, manifests, stores, the host cache of bases, and the volumes made from them."""
