"""The rules of images and snapshots, as plain as they can be said, and the real thing beside them.

`retention`, `volumes`, `snapshots` and `images` are the rules: no SQL, no states that are tables,
no requests. Each method gives the code of the refusal, or "" and the change is made. `driven` and
the acts ask the real operations for the same, and compare.
"""
