"""The gallery: a page for every mechanism, made of its card, its docstring and what was measured.

python -m docs.gallery            # the whole site, into site/
python -m docs.gallery eca swin   # these pages alone
"""
