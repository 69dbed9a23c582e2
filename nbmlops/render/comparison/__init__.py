"""How compared runs look."""
