"""The one exception for a user's mistake."""


class InputError(ValueError):
    """Something the user gave us is wrong: a file, a folder, a flag's value, a bundle.

    The message is one clear sentence for the reader: what is wrong, where (file, JSON path, image), what was found,
    what was expected and how to mend it. The command line prints it after ``segattr: error:`` and exits with code 2;
    library callers may catch it as a ValueError.
    """
