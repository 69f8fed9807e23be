"""Views of the room, one module for each page or kind of file."""
