"""Figures shown while a run is open."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from nbmlops._masking import mask

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/svg+xml": "svg"}


class FigureCollector:
    """Keeps a copy of each image the kernel sends to the notebook."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.figures: list[tuple[str, bytes]] = []
        # Only a kernel's publishers have hooks; a terminal shows no images.
        self._publishers: list[Any] = [
            publisher
            for publisher in (shell.display_pub, shell.displayhook)
            if hasattr(publisher, "register_hook")
        ]
        for publisher in self._publishers:
            publisher.register_hook(self._keep)

    def stop(self) -> None:
        """Remove the hooks."""
        for publisher in self._publishers:
            publisher.unregister_hook(self._keep)

    def _keep(self, message: dict[str, Any]) -> dict[str, Any]:
        data = message.get("content", {}).get("data", {})
        for kind, suffix in _SUFFIXES.items():
            if kind in data:
                content = data[kind]
                name = f"figure-{len(self.figures) + 1}.{suffix}"
                self.figures.append(
                    (
                        name,
                        mask(content).encode()
                        if suffix == "svg"
                        else base64.b64decode(content),
                    )
                )
                break
        return message
