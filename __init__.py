"""segattr: from catalog photo to product masks and attributes.

    import segattr
    model = segattr.load("default")
    items = model("photo.jpg")
"""

__version__ = "0.1.0"
