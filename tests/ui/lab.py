"""What a user sees and does in JupyterLab: the one page object."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, Page, expect

KERNEL_S = 60
WORK_S = 120

_KERNEL_IS_READY = """async () => {
  const { context, sessionContext } = window.jupyterapp.shell.currentWidget;
  await context.ready;
  await sessionContext.ready;
  await sessionContext.session.kernel.info;
}"""


class Lab:
    """A JupyterLab in a page, driven by role and text."""

    def __init__(self, page: Page, root: Path, url: str, token: str) -> None:
        self.page, self.root = page, root
        self._url, self._token = url, token
        self.complaints: list[str] = []
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error.stack)))

    def open(self, notebook: str, *, is_dark: bool = False) -> None:
        """Open a notebook and wait until its kernel takes cells."""
        self.page.goto(f"{self._url}lab/tree/{notebook}?reset&token={self._token}")
        self.page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for()
        self.page.evaluate(_KERNEL_IS_READY)
        self.set_theme(is_dark=is_dark)

    def open_file(self, path: str, *, is_dark: bool = False) -> None:
        """Open a file that is no notebook with what opens it by default."""
        self.page.goto(f"{self._url}lab/tree/{path}?reset&token={self._token}")
        self.page.get_by_role("tab", name=path).wait_for()
        self.set_theme(is_dark=is_dark)

    def set_theme(self, *, is_dark: bool) -> None:
        """Change the theme, and wait until it is there."""
        name = f"JupyterLab {'Dark' if is_dark else 'Light'}"
        # JupyterLab takes its splash away twice when the theme changes below it.
        splash = self.page.locator("#jupyterlab-splash")
        expect(splash).to_have_count(0, timeout=KERNEL_S * 1000)
        self.page.evaluate(
            "theme => window.jupyterapp.commands"
            ".execute('apputils:change-theme', { theme })",
            name,
        )
        expect(self.page.locator("body")).to_have_attribute(
            "data-jp-theme-name", name, timeout=KERNEL_S * 1000
        )
        expect(splash).to_have_count(0, timeout=KERNEL_S * 1000)

    def run_all(self) -> None:
        """Run every cell by keyboard, from the first on, and wait for the last."""
        cells = self.page.locator(".jp-NotebookPanel .jp-Cell")
        cells.first.click()
        self.page.keyboard.press("Escape")
        for _ in range(cells.count()):
            self.page.keyboard.press("Shift+Enter")
        code = self.page.locator(".jp-NotebookPanel .jp-CodeCell")
        for n in range(code.count()):
            prompt = code.nth(n).locator(".jp-InputPrompt")
            if code.nth(n).locator(".cm-content").inner_text().strip():
                expect(prompt).to_have_text(f"[{n + 1}]:", timeout=WORK_S * 1000)

    @property
    def errors(self) -> Locator:
        """Tracebacks in the notebook."""
        return self.page.locator(
            ".jp-NotebookPanel .jp-OutputArea-output"
            "[data-mime-type='application/vnd.jupyter.stderr'],"
            ".jp-NotebookPanel .jp-RenderedText[data-mime-type*='error']"
        )

    def open_sidebar(self) -> Locator:
        """Show the sidebar; return it."""
        panel = self.page.get_by_role("region", name="Models and endpoints")
        if not panel.is_visible():
            self.page.get_by_role("tab", name="Models and endpoints").click()
        panel.wait_for()
        return panel

    @property
    def endpoints(self) -> Locator:
        """The endpoints listed in the sidebar."""
        return self.page.get_by_role("list", name="Endpoints").get_by_role("listitem")

    def model(self, name: str) -> Locator:
        """The row of a registered model in the sidebar."""
        models = self.page.get_by_role("list", name="Registered models")
        return models.get_by_role("button", name=name).and_(
            self.page.locator("[aria-expanded]")
        )

    def versions(self, model: str) -> Locator:
        """The versions listed below an open model."""
        listed = self.page.get_by_role("list", name=f"Versions of {model}")
        return listed.locator(":scope > li")

    @property
    def dialog(self) -> Locator:
        """The dialog in front."""
        return self.page.get_by_role("dialog")

    def wait_until_deployed(self) -> Locator:
        """Wait for the end of a deployment; return the button that predicts."""
        predict = self.dialog.get_by_role("button", name="Predict", exact=True)
        alert = self.dialog.get_by_role("alert")
        predict.or_(alert).first.wait_for(timeout=WORK_S * 1000)
        assert not alert.is_visible(), self.dialog.inner_text()
        return predict

    def press(self, name: str, *, within: Locator | None = None) -> None:
        """Press a button by its name."""
        place = within or self.page
        place.get_by_role("button", name=name, exact=True).click()

    def screenshot(self, path: Path) -> None:
        """Keep a picture of the page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path, animations="disabled")

    def unforeseen(self, provoked: str) -> list[str]:
        """Return the complaints that are not of the provoked kind."""
        return [each for each in self.complaints if provoked not in each]

    def _listen(self, message: object) -> None:
        kind, text = getattr(message, "type", ""), getattr(message, "text", "")
        if kind == "error":
            self.complaints.append(text)
