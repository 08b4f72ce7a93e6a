"""The annotation editor: a store of one JSON file a photo, an HTTP server over it, and its page in static/."""
