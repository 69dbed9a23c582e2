"""Small packages for tests."""

import zipfile


def plant(folder, package, version):
    """Make a wheel of a small package, and a folder where it is installed."""
    code = f"factor = {version}\n"
    name = f"{package}-{version}.dist-info"
    files = {
        f"{package}.py": code,
        f"{name}/METADATA": f"Metadata-Version: 2.1\nName: {package}\n"
        f"Version: {version}\n",
        f"{name}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{name}/RECORD"])
    files[f"{name}/RECORD"] = record
    site = folder / f"site-{version}"
    with zipfile.ZipFile(
        folder / f"{package}-{version}-py3-none-any.whl", "w"
    ) as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text, encoding="utf-8")
    return str(site)
