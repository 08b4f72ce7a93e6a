"""COCO with attributes: read, validate, write, convert; masks; transforms; torch datasets; the synthetic catalog."""
