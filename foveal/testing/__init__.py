"""The laws every mechanism keeps, and the kit that checks them."""
