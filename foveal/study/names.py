"""What a variant is called: a name that can be a folder's."""

import hashlib
import re

LONGEST = 48


def name_of(notation: str) -> str:
    """A mechanism's name, or for a mix one made of its notation, safe as the name of a file.

    Two mixes may get the same one, such as those that differ in parentheses alone; a study refuses
    it then and asks for names. What is too long is cut, and told apart by a hash.

    >>> name_of("eca"), name_of("eca > coord"), name_of("sum(se | sa_spatial, weights=dynamic)")
    ('eca', 'eca-then-coord', 'sum-se+sa_spatial-weights-dynamic')
    """
    text = notation.replace(" > ", "-then-").replace(" | ", "+")
    text = re.sub(r"[^A-Za-z0-9._+]+", "-", text).strip("-._+")
    if len(text) <= LONGEST:
        return text
    digest = hashlib.sha256(notation.encode()).hexdigest()[:6]
    return f"{text[: LONGEST - 7].rstrip('-._+')}-{digest}"
